#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run the tests that need machines: real RDMA, a real NVMe driver, virtual hosts.

    run_lab_tests.py --programs DIR [--only PATTERN] [--list]

DIR holds nic-to-nvme and hostile-client. The machines of a setting are booted once for all its
tests. Each test is a line; the last line is `N passed, N failed`, and the exit code is 0 only
when none failed. A machine that does not boot fails all the tests that need it.
"""
import argparse
import re
import sys
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Examples" / "lab"))

# pylint: disable=wrong-import-position
from peerlab import Lab, LabError, interrupts   # noqa: E402
from bench import Bench, scratch_directory      # noqa: E402
from registry import SETTINGS, Failure          # noqa: E402
import transfers, accounts, refusals, drives, recovery, hostile, elsewhere    # noqa: E401,E402

PROGRAMS = ("nic-to-nvme", "hostile-client")


def main():
    """Run what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(description="The tests that run in the lab.")
    parser.add_argument("--programs", type=Path, help="where nic-to-nvme and hostile-client are")
    parser.add_argument("--only", default="", metavar="PATTERN",
                        help="run the tests whose name this regular expression is found in")
    parser.add_argument("--list", action="store_true", help="name the tests, and run none")
    options = parser.parse_args()
    chosen = [(setting, _chosen(setting, options.only)) for setting in SETTINGS]
    if options.list:
        for setting, tests in chosen:
            for test in tests:
                print(f"{test.name} ({setting.name}): {test.function.__doc__.splitlines()[0]}")
        return 0
    if not any(tests for _, tests in chosen):
        parser.error(f"no test's name matches {options.only!r}; see --list")
    if not options.programs:
        parser.error("name the directory of the programs with --programs")
    for name in PROGRAMS:
        if not (options.programs / name).is_file():
            parser.error(f"{options.programs} has no {name}; build it first")
    with interrupts.orderly():
        failed = sum(_run_setting(setting, tests, options.programs.resolve())
                     for setting, tests in chosen if tests)
    passed = sum(len(tests) for _, tests in chosen) - failed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _chosen(setting, pattern):
    """The tests of a setting that match, those that break the machines behind all others."""
    tests = [test for test in setting.tests if re.search(pattern, test.name)]
    return sorted(tests, key=lambda test: test.last)


def _run_setting(setting, tests, programs):
    """Boot the machines of a setting and run `tests` in them; return how many failed."""
    failed, done = 0, 0
    with scratch_directory() as scratch:
        for spec in setting.specs:
            spec.share, spec.writable = [programs], [scratch]
        try:
            with Lab() as lab:
                started = time.monotonic()
                bench = Bench(lab.boot(*setting.specs, join=setting.join), programs, scratch)
                _say(f"     {setting.name}: machines ready ({time.monotonic() - started:.1f} s)")
                for test in tests:
                    failed += not _run_test(test, bench)
                    done += 1
        except LabError as error:
            for test in tests[done:]:
                _say(f"FAIL {test.name}: the machines of the setting {setting.name} failed")
            _say(_indented(str(error)))
            failed += len(tests) - done
    return failed


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
