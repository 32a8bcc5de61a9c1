#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The pages of Examples/engines, followed as a new user does: their own commands, in the lab, word for word.

    Tests/engine_pages.py --programs DIR [--only WORD]

DIR holds what is to be installed, built: `Packaging/install` of the pages gets it by --programs. The pages install into
/opt, which is one of the test's own, in a mount namespace. Needs root.
"""
import argparse
import contextlib
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from hosttests import Failure, check, run_tests, test

_ROOT = Path(__file__).resolve().parents[1]
_PAGES = _ROOT / "Examples" / "engines"
_BOOT_SECONDS, _COMMAND_SECONDS = 300, 600

# What is mounted over /opt: the directories that are there, and one more.
_OPT = """
set -eu
mount -t tmpfs peermr /mnt
for entry in /opt/*; do
    [ ! -d "$entry" ] || { mkdir "/mnt/${entry##*/}"; mount --rbind "$entry" "/mnt/${entry##*/}"; }
done
mount --move /mnt /opt
exec "$@"
"""


class _Page:
    """What a page says under "In the lab": how the hosts are started, and what is run then."""

    def __init__(self, engine):
        text = (_PAGES / engine / "README.md").read_text()
        found = re.search(r"^## In the lab\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)
        check(found, f"the page of {engine} has no part about the lab")
        self.blocks = re.findall(r"^```sh\n(.*?)^```$", found[1], re.DOTALL | re.MULTILINE)
        check(len(self.blocks) == 2, f"the page of {engine} has {len(self.blocks)} blocks of commands there")
        settings = re.findall(r"with `(\w+=\S+)` and", found[1])
        check(len(settings) == 1, f"the page of {engine} has {settings} to be set")
        self.commands = settings[0] + "\n" + self.blocks[1] + "wait\n"
        self.promised = re.findall(r"^p2pmem: .*$", found[1], re.MULTILINE)
        self.requests = re.findall(r"\b(put|get|send|receive|batch|add):(\d+):(\d+)", self.blocks[1])

    def lines(self):
        """The lines that have to be printed, each as often as it is listed."""
        # A page that names its requests once may make them in two ways.
        ways = self.blocks[1].count("$requests") or 1
        return self.promised or [f"{name} of {length} bytes at {0 if name == 'batch' else offset}: right, "
                                 for name, offset, length in self.requests * ways]


class _Hosts:
    """Virtual hosts that a page's own commands have started."""

    def __init__(self, programs, commands):
        self.commands, self.environment = commands, dict(os.environ)
        install = f"Packaging/install --programs {programs}"
        check(commands.count("Packaging/install ") == 1 and commands.count("Examples/lab/lab up ") == 1,
              f"the page starts no hosts: {commands}")
        script = "set -e\n" + commands.replace("Packaging/install", install).replace("Examples/lab/lab", "exec "
                                                                                     "Examples/lab/lab")
        self.child = subprocess.Popen(["unshare", "--mount", "bash", "-c", _OPT, "opt", "bash", "-c", script], cwd=_ROOT,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      start_new_session=True)
        self._wait_until_started()

    def _wait_until_started(self):
        said, end = b"", time.monotonic() + _BOOT_SECONDS
        while b"press Ctrl-C to end" not in said:
            check(time.monotonic() < end, f"the hosts have not started\n{said.decode(errors='replace')}")
            if select.select([self.child.stdout], [], [], 1)[0]:
                some = os.read(self.child.stdout.fileno(), 65536)
                check(some, f"the commands that start the hosts have ended\n{said.decode(errors='replace')}")
                said += some

    def run(self, commands):
        """What commands in another terminal print; they see the same /opt."""
        child = subprocess.Popen(["nsenter", "--mount", "--target", str(self.child.pid), "bash", "-c",
                                  f"cd {shlex.quote(str(_ROOT))}\n{commands}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        try:
            return child.communicate(timeout=_COMMAND_SECONDS)[0]
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            raise Failure(f"not at its end after {_COMMAND_SECONDS} s\n{child.communicate()[0]}") from None

    def end(self):
        """Ctrl-C."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGINT)
        self.child.communicate(timeout=60)


class _Bench:
    """Hosts are started once for pages that start them alike."""

    def __init__(self, programs):
        self.programs, self.hosts = programs, None

    def follow(self, page):
        """What the page's commands print."""
        if not self.hosts or self.hosts.commands != page.blocks[0]:
            self.end()
            self.hosts = _Hosts(self.programs, page.blocks[0])
        return self.hosts.run(page.commands)

    def end(self):
        """End the hosts."""
        if self.hosts:
            self.hosts.end()
            self.hosts = None


def _follow(bench, engine):
    page = _Page(engine)
    said = bench.follow(page)
    wanted = page.lines()
    check(wanted, f"the page of {engine} asks for nothing")
    for line in sorted(set(wanted)):
        found = sum(other.startswith(line) for other in said.splitlines())
        check(found == wanted.count(line), f"{line!r} is printed {found} times, not {wanted.count(line)}\n{said}")
    check("it is p2pmem of 0000:01:00.0" in said, f"nothing was registered by PeerMR\n{said}")
    return said


@test
def ucx(bench):
    """Without PeerMR it fails, with it every request is right."""
    check("ucp_mem_map: " in _follow(bench, "ucx"), "UCX maps p2pmem without PeerMR")


@test
def libfabric(bench):
    """Without PeerMR it fails, with it every request is right."""
    check("fi_mr_reg: Bad address" in _follow(bench, "libfabric"), "libfabric registers p2pmem without PeerMR")


@test
def mooncake(bench):
    """Every request is right."""
    _follow(bench, "mooncake")


@test
def perftest(bench):
    """The pages hold what was sent."""
    _follow(bench, "perftest")


@test
def fio(bench):
    """The pages hold what was sent."""
    _follow(bench, "fio")


@test
def openmpi(bench):
    """Every request is right in both ways."""
    _follow(bench, "openmpi")


def main():
    """Run what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(description="The pages of Examples/engines, followed word for word.")
    parser.add_argument("--programs", type=Path, required=True, help="the directory of the build")
    parser.add_argument("--only", default="", metavar="WORD", help="the pages with WORD in their names")
    options = parser.parse_args()
    bench = _Bench(options.programs.resolve())
    try:
        return run_tests(options.only, bench)
    finally:
        bench.end()


sys.exit(main())
