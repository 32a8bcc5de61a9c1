#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo by true DMA, run as a user runs it: its report, its data, what it refuses, and Ctrl-C.

    Tests/demo.py --programs DIR [--only WORD]
"""
import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hosttests import check, run, run_tests, test

_DEMO = Path(__file__).resolve().parents[1] / "Examples" / "demo"
# More than one slot, and no whole number of blocks.
_BYTES = random.Random(18).randbytes(8192 + 1234)
_OFFSET = 1 << 20


class _Bench:
    """Where the programs are, and a directory that is empty for each test."""

    def __init__(self, programs, directory):
        self.programs, self.directory = programs, directory
        self.place = None

    def words(self, *words):
        """The demo's command, with a directory of its own to leave things in."""
        self.place = Path(tempfile.mkdtemp(dir=self.directory))
        return [_DEMO, "--dma", "--programs", self.programs, *words]

    def left(self):
        """What is in that directory."""
        return sorted(path.name for path in self.place.iterdir())


def _said(words, place, code):
    done = subprocess.run([str(word) for word in words], cwd=place, capture_output=True, text=True, timeout=600,
                          check=False)
    check(done.returncode == code, f"{words[2:]} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


@test
def report_and_data(bench):
    """The report says what moved the bytes, and the image beside it has them where it says."""
    words = bench.words("--file", "sent", "--offset", _OFFSET, "--report", "result.json")
    (bench.place / "sent").write_bytes(_BYTES)
    done = _said(words, bench.place, 0)
    report = json.loads((bench.place / "result.json").read_text())
    expected = {"bytes": len(_BYTES), "nic": "device", "method": "onDemand", "memory": "p2pmem", "verified": True,
                "mapType": "busAddress", "bytesPeerToPeer": len(_BYTES), "bytesBounced": 0, "diskOffset": _OFFSET,
                "sha256": hashlib.sha256(_BYTES).hexdigest(), "diskImage": "result.img"}
    found = {name: report.get(name) for name in expected}
    check(found == expected, f"the report has {found}")
    check(report["bytesByEngine"] >= 2 * len(_BYTES), f"the engine moved {report['bytesByEngine']} bytes")
    with open(bench.place / "result.img", "rb") as image:
        image.seek(_OFFSET)
        check(image.read(len(_BYTES)) == _BYTES, "the image has other bytes at the offset")
    check(bench.left() == ["result.img", "result.json", "sent"], f"left: {bench.left()}")
    sentence = done.stdout.splitlines()[-1]
    for phrase in (f"All {len(_BYTES)} of {len(_BYTES)} bytes", "DMA engine moved them over an emulated bus",
                   "no processor of the guest did"):
        check(phrase in sentence, f"{phrase!r} is not in: {sentence}")


@test
def bad_input(bench):
    """One sentence, no report, nothing left."""
    cases = [((), "empty", 0, "is empty"), ((), "large", (1 << 20) + 1, "at most 1048576 bytes"),
             (("--memory", "host"), "good", 1, "--memory"), (("--hardware",), "good", 1, "--hardware"),
             (("--offset", "100"), "good", 1, "multiple of 512")]
    for more, name, size, phrase in cases:
        words = bench.words("--file", name, "--report", "result.json", *more)
        (bench.place / name).write_bytes(bytes(size))
        done = subprocess.run([str(word) for word in words], cwd=bench.place, capture_output=True, text=True,
                              timeout=60, check=False)
        check(done.returncode not in (0, -signal.SIGINT), f"{more} {name} ended with {done.returncode}")
        last = done.stderr.strip().splitlines()[-1]
        check(phrase in last and "Traceback" not in done.stderr, f"{more} {name}: {done.stderr}")
        check(bench.left() == [name], f"{more} {name} left {bench.left()}")


@test
def interrupted(bench):
    """Ctrl-C while the engine moves bytes: it ends at once and leaves neither files nor machines."""
    words = bench.words("--file", "sent", "--report", "result.json")
    (bench.place / "sent").write_bytes(bytes(200_000))
    child = subprocess.Popen([str(word) for word in words], cwd=bench.place, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, start_new_session=True)
    lines = []
    for line in child.stdout:
        lines.append(line)
        if "by labhca0" in line:
            break
    time.sleep(3)
    os.killpg(child.pid, signal.SIGINT)
    rest, _ = child.communicate(timeout=60)
    check(child.returncode != 0, f"it ended with 0\n{''.join(lines)}{rest}")
    check("Traceback" not in rest, rest)
    check(bench.left() == ["sent"], f"left: {bench.left()}")
    found = [pid for pid in run(["ps", "-eo", "pgid=,pid="]).splitlines() if pid.split()[0] == str(child.pid)]
    check(not found, f"processes are left: {found}")


def main():
    """Run what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(description="Tests of the demo by true DMA.")
    parser.add_argument("--programs", type=Path, required=True, help="where file-to-drive is")
    parser.add_argument("--only", default="", metavar="WORD", help="the tests with WORD in their names")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peermr-demo-test-") as directory:
        return run_tests(options.only, _Bench(options.programs.resolve(), directory))


sys.exit(main())
