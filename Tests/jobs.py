# SPDX-License-Identifier: Apache-2.0
"""Test programs that run side by side: each says its own when it has ended, and all their tests are counted."""
import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import hung
from peerlab.sandbox import die_with_parent

# Several times what the longest takes on two slow processors.
HUNG_SECONDS = 2700
_COUNTS = re.compile(r"^(\d+) passed, (\d+) failed$")
# What a guest pair of the lab takes, with what QEMU needs besides.
_GIB_FOR_EACH = 4


@dataclass
class Program:
    """A program that runs beside others, with its output in a file."""

    title: str
    command: list

    def start(self):
        """Start it."""
        self.began = time.monotonic()
        self.output = tempfile.TemporaryFile("w+", errors="replace")
        self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.output,
                                      stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=die_with_parent)
        return self

    @property
    def has_ended(self):
        """Whether it has."""
        return self.child.poll() is not None

    def lines(self):
        """What it printed; to be asked for once, when it has ended."""
        with self.output:
            self.output.seek(0)
            return self.output.read().splitlines()

    def stop(self):
        """Ask it to end in an orderly way."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child.pid, signal.SIGTERM)


class Preparation(Program):
    """A program that makes what some jobs need, and runs beside all others from the start.

    In a `with` statement, at the end of which it has ended.
    """

    fault = None        # when it has ended in vain: what it said

    def __enter__(self):
        return self.start()

    def __exit__(self, *_error):
        if not self.has_ended:
            self.stop()
            self.child.wait(60)

    def settle(self, say):
        """Once it has ended, say how, and keep why it was in vain. Returns whether it has ended."""
        if self.has_ended and not self.output.closed:
            lines = self.lines()
            say(f"== {self.title} ({time.monotonic() - self.began:.0f} s)")
            for line in lines:
                say(line)
            if self.child.returncode != 0:
                self.fault = lines[-1] if lines else f"it ended with {self.child.returncode}"
        return self.has_ended


@dataclass
class Job(Program):
    """A program whose last line is `N passed, N failed`."""

    # It waits for this to end, and has failed where this has.
    needs: Preparation = None
    places = ()         # where it was when it was ended for taking too long

    def stop_if_hung(self):
        """End it when it takes longer than any job does; the others' results count, and come out."""
        if time.monotonic() - self.began > HUNG_SECONDS and not self.places:
            self.places = hung.end(self.child.pid) or ["nothing of it ran"]

    def result(self):
        """What it printed, as lines, and how many tests passed and failed; without a count it has failed."""
        lines = self.lines()
        if self.places:
            return [*lines, *self.places, f"FAIL {self.title}: not at its end after {HUNG_SECONDS} s"], 0, 1
        if not (counts := _COUNTS.match(lines[-1] if lines else "")):
            return lines + [f"FAIL {self.title}: it did not come to its end"], 0, 1
        passed, failed = int(counts[1]), int(counts[2])
        if self.child.returncode != 0 and not failed:
            return lines + [f"FAIL {self.title}: it ended with {self.child.returncode}"], passed, 1
        return lines, passed, failed


def workers():
    """How many run at once: one for each processor, as far as the memory reaches."""
    available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return max(1, min(os.cpu_count(), int(available[1]) // (_GIB_FOR_EACH << 20)))


def run_jobs(jobs, count, say):
    """Run the jobs in their order, `count` at once; `say` gets their lines. Returns (passed, failed).

    A job that waits for something lets those behind it go first.
    """
    waiting, running = list(jobs), []
    total = [0, 0]
    try:
        while waiting or running:
            while len(running) < count and (job := _take(waiting, say)):
                try:
                    running.append(_started(job))
                except OSError as error:
                    say(f"FAIL {job.title}: {error}")
                    total[1] += 1
            for job in running:
                job.stop_if_hung()
            for job in [job for job in running if job.has_ended]:
                running.remove(job)
                lines, passed, failed = job.result()
                say(f"== {job.title} ({time.monotonic() - job.began:.0f} s)")
                for line in lines:
                    say(line)
                total = [total[0] + passed, total[1] + failed]
            time.sleep(0.1)
    except BaseException:
        for job in running:
            job.stop()
        for job in running:
            job.child.wait(60)
        raise
    return total


def _take(waiting, say):
    """Take the first job out of `waiting` that waits for nothing; None if there is none."""
    for job in waiting:
        if job.needs is None or job.needs.settle(say):
            waiting.remove(job)
            return job
    return None


def _started(job):
    """Start a job; one whose preparation was in vain fails as if it could not be started."""
    if job.needs and job.needs.fault:
        raise OSError(f"{job.needs.title} failed: {job.needs.fault}")
    return job.start()
