# SPDX-License-Identifier: Apache-2.0
"""What hangs is found out and ended: a test that waits for ever must not keep the others' results back."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

_FRAMES = 12
_PROCESSES = 8


class Silence:
    """Calls something once nothing has been heard for so long; in a `with` statement."""

    def __init__(self, seconds, then):
        self.seconds, self.then = seconds, then
        self.heard_at = time.monotonic()
        self.is_broken = False          # whether it came to that
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._run, daemon=True)

    def hear(self):
        """Something was heard."""
        self.heard_at = time.monotonic()

    def __enter__(self):
        self._watch.start()
        return self

    def __exit__(self, *_error):
        self._over.set()
        self._watch.join()

    def _run(self):
        while not self._over.wait(min(1, self.seconds / 4)):
            if time.monotonic() - self.heard_at > self.seconds:
                self.is_broken = True
                self.then()
                return


class Unfinished:
    """The names of Swift's tests that have begun and not ended, by what the test program prints."""

    def __init__(self):
        self.names = {}

    def hear(self, line):
        """Take one line of it."""
        if found := re.match(r"^\S+ Test (?!run\b|case\b)(.+?) started\.", line):
            self.names[found[1]] = True
        elif found := re.match(r"^\S+ Test (?!run\b|case\b)(.+?) (?:with \d+ test cases? )?(?:passed|failed) after", line):
            self.names.pop(found[1], None)


def session(leader):
    """The processes of a session, also those whose parents have ended, which may keep its pipes open."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name of the program, in brackets, may have anything in it.
            state, _parent, _group, session_leader = status.read_text(errors="replace").rpartition(")")[2].split()[:4]
            if int(session_leader) == leader and state not in "ZX":
                found.append(int(status.parent.name))
    return sorted(found)


def end(leader):
    """Kill a session's processes; returns where they were: command lines, and frames where gdb is there to tell."""
    lines = []
    processes = session(leader)
    for pid in processes[:_PROCESSES]:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            lines.append(f"process {pid}: {words[:150]}")
            lines += _frames(pid)
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return lines


def _frames(pid):
    if not (gdb := shutil.which("gdb")):
        return []
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run([gdb, "-p", str(pid), "-batch", "-ex", f"thread apply all backtrace {_FRAMES}"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=60,
                              check=False)
        return ["  " + line[:200] for line in done.stdout.splitlines() if re.match(r"#\d|Thread ", line)]
    return []
