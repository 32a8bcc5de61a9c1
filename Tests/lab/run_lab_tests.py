#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run the tests that need machines: real RDMA, a real NVMe driver, virtual hosts.

    run_lab_tests.py --programs DIR [--only PATTERN] [--long] [--job JOB]... [--list] [--jobs]

DIR holds the programs that PROGRAMS names. The machines of a setting are booted once for all its
tests; those of a large setting are dealt out to several jobs, with machines of their own, which
Tests/run runs side by side. Here the jobs run one after the other: those that are named, or all.
Each test is a line; the last line is `N passed, N failed`, and the exit code is 0 only when none
failed. A machine that does not boot fails all the tests that need it.
"""
import argparse
import os
import re
import sys
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Examples" / "lab"))
# Last: some modules here and there have one name.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
from peerlab import Lab, LabError, signals      # noqa: E402
from patterns import pattern                    # noqa: E402
from bench import Bench, scratch_directory      # noqa: E402
from registry import SETTINGS, Failure          # noqa: E402
import transfers, clients, leaks, refusals, drives, recovery, faults, hostile, missing_features    # noqa: E401,E402
import booting, examples, pingpong, pingpong_refusals, pingpong_peers, watching        # noqa: E401,E402
import sources, labhca, labhca_peers, labhca_odp, on_demand, regions, registering    # noqa: E401,E402
import nvmet_target, python, order, cycles       # noqa: E401,E402
import tool, packaging, preload, caching, clibrary, unchecked, unchecked_drives, stand_in, engines    # noqa: E401,E402

PROGRAMS = ("nic-to-nvme", "hostile-client", "many-clients", "memory-probe", "peermr", "ping-pong", "mixed-scatter",
            "nic-to-drive", "file-to-drive", "peer-pingpong", "register-dmabuf", "register-p2pmem",
            "lib/libpeermr.so.0", "lib/libpeermr-preload.so")
_TESTS_WORTH_A_BOOT = 10


def main():
    """Run what the command line asks for, and return the exit code."""
    options, parser = _options()
    jobs = {name: job for name, job in _jobs(options.only, options.long) if not options.job or name in options.job}
    if not jobs:
        parser.error(f"no test's name matches {options.only!r}; see --list")
    if options.jobs:
        for name, (setting, _) in jobs.items():
            print(name, " ".join({spec.kernel for spec in setting.specs}), sep="\t")
        return 0
    if options.list:
        for name, (_, tests) in jobs.items():
            for test in tests:
                print(f"{test.name} ({name}): {test.function.__doc__.splitlines()[0]}")
        return 0
    if not options.programs:
        parser.error("name the directory of the programs with --programs")
    for name in PROGRAMS:
        if not os.access(options.programs / name, os.X_OK):
            parser.error(f"{options.programs} has no {name}; build it first")
    passed = failed = 0
    with signals.orderly():
        for name, (setting, tests) in jobs.items():
            some = _run_tests(name, setting, tests, options.programs.resolve())
            passed, failed = passed + some, failed + len(tests) - some
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _options():
    parser = argparse.ArgumentParser(description="The tests that run in the lab.")
    parser.add_argument("--programs", type=Path, help="where the programs are")
    parser.add_argument("--only", default="", type=pattern, metavar="PATTERN",
                        help="run the tests whose name this regular expression is found in")
    parser.add_argument("--long", action="store_true", help="also the tests that Tests/run leaves out without --long")
    parser.add_argument("--job", action="append", help="run only the tests of this job; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the tests, and run none")
    parser.add_argument("--jobs", action="store_true",
                        help="name the jobs, each with the kernels that it boots, and run none")
    return parser.parse_args(), parser


def _jobs(pattern, long):
    """The tests that match, as jobs: (name, (setting, tests)). Machines break in the last tests of each job."""
    for setting in SETTINGS:
        tests = [test for test in setting.tests if re.search(pattern, test.name) and (long or not test.long)]
        # To boot machines costs as much as some tests do.
        count = min(setting.jobs, -(-len(tests) // _TESTS_WORTH_A_BOOT))
        for number in range(count):
            name = f"{setting.name} {number + 1}/{count}" if count > 1 else setting.name
            yield name, (setting, sorted(tests[number::count], key=lambda test: test.last))


def _run_tests(name, setting, tests, programs):
    """Boot the machines of a setting and run `tests` in them; return how many passed."""
    passed, done = 0, 0
    with scratch_directory() as scratch:
        for spec in setting.specs:
            spec.share, spec.writable = [programs, *setting.shares()], [scratch]
        try:
            with Lab() as lab:
                started = time.monotonic()
                bench = Bench(lab.boot(*setting.specs, join=setting.join), programs, scratch)
                _say(f"     {name}: machines ready ({time.monotonic() - started:.1f} s)")
                for test in tests:
                    passed += _run_test(test, bench)
                    done += 1
        except LabError as error:
            for test in tests[done:]:
                _say(f"FAIL {test.name}: the machines of the setting {setting.name} failed")
            _say(_indented(str(error)))
    return passed


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
