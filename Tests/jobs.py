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

from peerlab.sandbox import die_with_parent

_COUNTS = re.compile(r"^(\d+) passed, (\d+) failed$")
# What a guest pair of the lab takes, with what QEMU needs besides.
_GIB_FOR_EACH = 4


@dataclass
class Job:
    """A program whose last line is `N passed, N failed`."""

    title: str
    command: list

    def start(self):
        """Start it; its output goes into a file."""
        self.began = time.monotonic()
        self.output = tempfile.TemporaryFile("w+", errors="replace")
        self.child = subprocess.Popen(self.command, stdout=self.output, stderr=subprocess.STDOUT,
                                      start_new_session=True, preexec_fn=die_with_parent)
        return self

    @property
    def has_ended(self):
        """Whether it has."""
        return self.child.poll() is not None

    def result(self):
        """What it printed, as lines, and how many tests passed and failed; without a count it has failed."""
        self.output.seek(0)
        lines = self.output.read().splitlines()
        self.output.close()
        if not (counts := _COUNTS.match(lines[-1] if lines else "")):
            return lines + [f"FAIL {self.title}: it did not come to its end"], 0, 1
        passed, failed = int(counts[1]), int(counts[2])
        if self.child.returncode != 0 and not failed:
            return lines + [f"FAIL {self.title}: it ended with {self.child.returncode}"], passed, 1
        return lines, passed, failed

    def stop(self):
        """Ask it to end in an orderly way."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child.pid, signal.SIGTERM)


def workers():
    """How many run at once: one for each processor, as far as the memory reaches."""
    available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return max(1, min(os.cpu_count(), int(available[1]) // (_GIB_FOR_EACH << 20)))


def run_jobs(jobs, count, say):
    """Run the jobs in their order, `count` at once; `say` gets their lines. Returns (passed, failed)."""
    waiting, running = list(jobs), []
    total = [0, 0]
    try:
        while waiting or running:
            while waiting and len(running) < count:
                job = waiting.pop(0)
                try:
                    running.append(job.start())
                except OSError as error:
                    say(f"FAIL {job.title}: {error}")
                    total[1] += 1
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
