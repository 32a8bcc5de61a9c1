#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run the tests that need machines: real RDMA, a real NVMe driver, virtual hosts.

    run_lab_tests.py --programs DIR [--only PATTERN] [--setting NAME]... [--list]

DIR holds the programs that PROGRAMS names. The machines of a setting are booted once for all its
tests; the smaller settings run beside the first, in a process of their own, and are told of at
the end. Each test is a line; the last line is `N passed, N failed`, and the exit code is 0 only
when none failed. A machine that does not boot fails all the tests that need it.
"""
import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Examples" / "lab"))

# pylint: disable=wrong-import-position
from peerlab import Lab, LabError, signals      # noqa: E402
from peerlab.sandbox import die_with_parent     # noqa: E402
from bench import Bench, scratch_directory      # noqa: E402
from registry import SETTINGS, Failure          # noqa: E402
import transfers, leaks, refusals, drives, recovery, hostile, missing_features    # noqa: E401,E402
import booting, pingpong, pingpong_refusals, pingpong_peers        # noqa: E401,E402
import sources, labhca, labhca_peers, regions, registering, tool, packaging, preload, clibrary    # noqa: E401,E402

PROGRAMS = ("nic-to-nvme", "hostile-client", "memory-probe", "peermr", "mixed-scatter", "ping-pong",
            "lib/libpeermr.so.0", "lib/libpeermr-preload.so")


def main():
    """Run what the command line asks for, and return the exit code."""
    options, parser = _options()
    chosen = [(setting, tests) for setting in SETTINGS
              if (not options.setting or setting.name in options.setting)
              and (tests := _chosen(setting, options.only))]
    if options.list:
        for setting, tests in chosen:
            for test in tests:
                print(f"{test.name} ({setting.name}): {test.function.__doc__.splitlines()[0]}")
        return 0
    if not chosen:
        parser.error(f"no test's name matches {options.only!r}; see --list")
    if not options.programs:
        parser.error("name the directory of the programs with --programs")
    for name in PROGRAMS:
        if not os.access(options.programs / name, os.X_OK):
            parser.error(f"{options.programs} has no {name}; build it first")
    # Settings that were named run one after the other.
    here, beside = (chosen, []) if options.setting else (chosen[:1], chosen[1:])
    with signals.orderly(), _beside(options, beside) as others:
        passed, failed = _sum(_run_setting(*pair, options.programs.resolve()) for pair in here)
        passed, failed = _sum([(passed, failed), others()])
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _sum(counts):
    """Add up pairs of passed and failed."""
    return tuple(map(sum, zip(*counts, strict=True)))


def _options():
    parser = argparse.ArgumentParser(description="The tests that run in the lab.")
    parser.add_argument("--programs", type=Path, help="where the programs are")
    parser.add_argument("--only", default="", metavar="PATTERN",
                        help="run the tests whose name this regular expression is found in")
    parser.add_argument("--setting", action="append", choices=[s.name for s in SETTINGS],
                        help="run only the tests of this setting; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the tests, and run none")
    return parser.parse_args(), parser


@contextlib.contextmanager
def _beside(options, chosen):
    """Run these settings in a process beside this one.

    Yields what waits for it, prints what it said, and gives how many tests passed and failed.
    """
    if not chosen:
        yield lambda: (0, 0)
        return
    command = [sys.executable, __file__, "--programs", options.programs, "--only", options.only]
    for setting, _ in chosen:
        command += ["--setting", setting.name]
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                 start_new_session=True, preexec_fn=die_with_parent)

        def wait():
            child.wait()
            output.seek(0)
            *lines, last = output.read().splitlines() or [""]
            _say("\n".join(lines))
            if counts := re.fullmatch(r"(\d+) passed, (\d+) failed", last):
                return int(counts[1]), int(counts[2])
            _say(f"FAIL the other settings did not come to their end: {last}")
            return 0, sum(len(tests) for _, tests in chosen)
        try:
            yield wait
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait(60)


def _chosen(setting, pattern):
    """The tests of a setting that match, those that break the machines behind all others."""
    tests = [test for test in setting.tests if re.search(pattern, test.name)]
    return sorted(tests, key=lambda test: test.last)


def _run_setting(setting, tests, programs):
    """Boot the machines of a setting and run `tests` in them; return how many passed and failed."""
    passed, done = 0, 0
    with scratch_directory() as scratch:
        for spec in setting.specs:
            spec.share, spec.writable = [programs, *setting.shares()], [scratch]
        try:
            with Lab() as lab:
                started = time.monotonic()
                bench = Bench(lab.boot(*setting.specs, join=setting.join), programs, scratch)
                _say(f"     {setting.name}: machines ready ({time.monotonic() - started:.1f} s)")
                for test in tests:
                    passed += _run_test(test, bench)
                    done += 1
        except LabError as error:
            for test in tests[done:]:
                _say(f"FAIL {test.name}: the machines of the setting {setting.name} failed")
            _say(_indented(str(error)))
    return passed, len(tests) - passed


def _run_test(test, bench):
    """Run one test, print its line, and return whether it passed."""
    started = time.monotonic()
    sentence = None
    try:
        test.function(bench)
    except (Failure, LabError) as error:
        sentence = str(error)
    except Exception:       # pylint: disable=broad-exception-caught
        sentence = "the test itself broke\n" + traceback.format_exc()
    if sentence is None:
        _say(f"ok   {test.name} ({time.monotonic() - started:.1f} s)")
    else:
        first, _, rest = sentence.partition("\n")
        _say(f"FAIL {test.name}: {first}\n" + _indented(rest + "\n" + bench.told()))
    bench.tidy()
    return sentence is None


def _indented(text):
    return "\n".join("     | " + line for line in text.splitlines() if line.strip())


def _say(text):
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
