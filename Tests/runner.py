# SPDX-License-Identifier: Apache-2.0
"""Runs the rings of tests one after the other, and adds up what they say. `Tests/run` starts it."""
import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
# Until there is something to tidy up, Ctrl-C just ends this.
signal.signal(signal.SIGINT, signal.SIG_DFL)
_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent / "Examples" / "lab"))

from peerlab import LabError, build, signals         # noqa: E402
from peerlab.sandbox import die_with_parent          # noqa: E402

_PROGRAMS = ["nic-to-nvme", "hostile-client", "memory-probe", "peermr", "mixed-scatter",
             "ping-pong", "route-probe", "destruction-order", "registration-cost"]
_COUNTS = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)


# What failed, in the words of the test: repeated at the end, where the log of a machine that runs this is looked at.
_FAILURES = []
_DETAIL_LINES = 12


def say(text):
    print(text, flush=True)


def _keep(line):
    """Remember a line of a test's output that says what failed, or that says more of it."""
    if line.startswith("FAIL"):
        _FAILURES.append([line])
    elif not line.startswith("     | "):
        _FAILURES.append([])
    elif _FAILURES and _FAILURES[-1]:
        _FAILURES[-1].append(line)


def _say_failures():
    """Say again what failed."""
    kept = [lines for lines in _FAILURES if lines]
    if kept:
        say("== what failed, again")
    for lines in kept:
        say("\n".join(lines[:_DETAIL_LINES]))


def host_tests():
    """The tests of the package: pure ones, and those over the fake verbs. Returns (passed, failed)."""
    say("== on this machine: pure tests, and the library over a fake libibverbs")
    return _swift_tests(["test", "--disable-xctest"], "debug", "building the tests")


def _swift_tests(arguments, tree, what):
    """Run Swift Testing and count its tests; what does not end in a count is a failure."""
    passed, failed = [], []

    def note(line):
        if found := re.match(r"^\S+ Test (?!run\b|case\b)(.+?) (passed|failed)\b.* after ", line):
            (passed if found[2] == "passed" else failed).append(found[1])
        if "error:" in line or "recorded an issue" in line or " failed after " in line:
            say(line)
            _FAILURES.append([line])
    code, output = build.swift(arguments, build.scratch() / tree, say, what, note, check=False)
    if code != 0 and not failed:
        say("\n".join(output.splitlines()[-30:]))
        failed.append("swift test")
    if not passed:
        say("no test ran: that is a failure")
        failed.append("no test")
    say(f"{len(passed)} passed, {len(failed)} failed")
    return len(passed), len(failed)


def warnings():
    """The package builds without warnings of its own code. Returns (passed, failed)."""
    say("== the programs, built without warnings")
    found = []

    def note(line):
        if re.search(r"(Sources|Examples)/.*: (warning|error):", line):
            found.append(line)
    # Only what is compiled now can warn: in a warm tree the check was made when it was compiled.
    for product in _PROGRAMS:
        build.swift(["build", "-c", "release", "--static-swift-stdlib", "--product", product],
                    build.scratch() / "release", say, f"building {product}", note)
    libraries()
    for line in found:
        say(line)
        _FAILURES.append([line])
    return (0, 1) if found else (1, 0)


def libraries():
    """The C library and the preload library, where the lab's tests look for them."""
    build.swift(["build", "-c", "release", "--static-swift-stdlib", "--product", "peermr-c"],
                build.scratch() / "release", say, "building peermr-c")
    root, made = _HERE.parent, _programs() / "lib"
    for command in ([root / "Packaging" / "link-library", _programs(), made],
                    ["make", "-s", "-C", root / "Sources" / "Preload", f"OUT={made}"]):
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                check=False)
        if result.returncode != 0:
            raise LabError(f"{Path(command[0]).name} failed:\n{result.stdout}")


def optimised():
    """What destroys what, and when, in a program built with optimisation: there the order could change."""
    say("== built with optimisation: the order of destruction, over the fake libibverbs")
    return _counted([str(_programs() / "destruction-order")])


def machine_code():
    """What the compiler made of the loops that send and receive. Returns (passed, failed)."""
    say("== built with optimisation: nothing allocates or counts references once per message")
    return _counted([sys.executable, str(_HERE / "machine_code.py"), "--programs", str(_programs())])


def cost():
    """What PeerMR's registration costs beside the bare call, with optimisation."""
    say("== built with optimisation: what a registration costs, over the fake libibverbs")
    return _counted([str(_programs() / "registration-cost")])


def documentation():
    """The catalogue is built without a warning, has every error of the tables, and its examples compile."""
    say("== the documentation")
    # The tree of the tests has the modules already.
    return _counted([sys.executable, str(_HERE.parent / "Documentation" / "build"),
                     "--scratch", str(build.scratch() / "debug"),
                     "--output", str(build.scratch() / "documentation")])


def c_library():
    """libpeermr.so: what it needs and exports, and C programs on it over the fake libibverbs."""
    say("== the C library, used and misused by a C program")
    return _counted([sys.executable, str(_HERE / "clibrary.py"), "--programs", str(_programs())])


def packaging():
    """What is installed: the version, manual pages, files, and what compiles with them."""
    say("== what is installed")
    return _counted([sys.executable, str(_HERE / "packaging.py"), "--programs", str(_programs())])


def lab_tests(match):
    """The device tests, in virtual machines. Returns (passed, failed)."""
    say("== in the lab: real kernels, verbs and NVMe")
    command = [sys.executable, str(_HERE / "lab" / "run_lab_tests.py"), "--programs", str(_programs())]
    return _counted(command + (["--only", match] if match else []))


def oracle():
    """The capability check against what running kernels do. Returns (passed, failed)."""
    say("== in the lab: what PeerMR says of PCI topologies against what the kernel does")
    return _counted([sys.executable, str(_HERE / "oracle" / "oracle.py"), "--programs", str(_programs())])


def _programs():
    return build.scratch() / "release" / "release"


def _counted(command):
    """Run a program whose last line is its count; one that does not come to it has failed."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace",
                             start_new_session=True, preexec_fn=die_with_parent)
    last = ""
    try:
        for line in child.stdout:
            last = line.rstrip("\n")
            say(last)
            _keep(last)
        code = child.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGTERM)
            child.wait(60)
        raise
    counts = _COUNTS.match(last)
    if not counts:
        program = next(part for part in command if part != sys.executable)
        _FAILURES.append([f"{Path(program).name} did not come to its end: that is a failure"])
        say(_FAILURES[-1][0])
        return 0, 1
    passed, failed = int(counts[1]), int(counts[2])
    return passed, failed if code == 0 or failed else 1


def main():
    parser = argparse.ArgumentParser(prog="Tests/run", description="Runs the project's tests.")
    parser.add_argument("--only", choices=["host", "lab"], help="only the tests on this machine, "
                        "or only those in the lab")
    parser.add_argument("--match", metavar="WORD", help="only the lab tests with WORD in their names")
    options = parser.parse_args()
    began = time.monotonic()
    rings = []
    if options.only != "lab" and not options.match:
        rings.append(host_tests)
    rings.append(warnings)
    if options.only != "lab" and not options.match:
        rings += [optimised, machine_code, cost, documentation, c_library, packaging]
    if options.only != "host":
        rings.append(lambda: lab_tests(options.match))
    if options.only != "host" and not options.match:
        rings.append(oracle)
    passed = failed = 0
    with signals.orderly():
        for ring in rings:
            try:
                some, wrong = ring()
            except (LabError, OSError) as error:
                say(f"{error}")
                _FAILURES.append(f"{error}".splitlines())
                some, wrong = 0, 1
            passed, failed = passed + some, failed + wrong
    _say_failures()
    say(f"took {time.monotonic() - began:.0f} s")
    say(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
