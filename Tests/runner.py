# SPDX-License-Identifier: Apache-2.0
"""Builds everything, runs the rings of tests, and adds up what they say. `Tests/run` starts it."""
import argparse
import contextlib
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

from peerlab import BUILT, LabError, build, signals  # noqa: E402
import hung # noqa: E402
from patterns import pattern # noqa: E402
from jobs import Job, Preparation, run_jobs, workers # noqa: E402

# The tests' sources are indented as they please.
_LINTED = ["Package.swift", "Sources", "Examples", "Benchmarks"]

# What failed, in the words of the test: repeated at the end, where the log of a machine that runs this is looked at.
_FAILURES = []
_DETAIL_LINES = 12

# The longest that a build or a test on a slow machine is silent is a few minutes.
_SILENCE_SECONDS = 900


def say(text):
    print(text, flush=True)


def _say_and_keep(line):
    """Print a line of a test's output, and remember it where it says what failed, or says more of it."""
    say(line)
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
        say("\n".join(lines[:5 * _DETAIL_LINES]))


def host_tests():
    """The tests of the package: pure ones, and those over the fake verbs. Returns (passed, failed)."""
    say("== on this machine: pure tests, and the library over a fake libibverbs")
    return _swift_tests(["test", "--disable-xctest"], "debug", "building the tests")


def _swift_tests(arguments, tree, what):
    """Run Swift Testing and count its tests; what does not end in a count is a failure."""
    passed, failed = [], []
    leader, places = [], []
    unfinished = hung.Unfinished()
    silence = hung.Silence(_SILENCE_SECONDS, lambda: places.extend(hung.end(leader[0])))

    def note(line):
        silence.hear()
        unfinished.hear(line)
        if found := re.match(r"^\S+ Test (?!run\b|case\b)(.+?) (passed|failed)\b.* after ", line):
            (passed if found[2] == "passed" else failed).append(found[1])
        if "error:" in line or "recorded an issue" in line or " failed after " in line:
            say(line)
            _FAILURES.append([line])
    with silence:
        code, output = build.swift(arguments, build.scratch() / tree, say, what, note, check=False,
                                   on_start=leader.append)
    if silence.is_broken:
        say("\n".join(places))
        names = [f"FAIL {name}: begun and not ended" for name in unfinished.names][:_DETAIL_LINES]
        _FAILURES.append([f"FAIL swift test: nothing was printed for {_SILENCE_SECONDS} s", *names, *places])
    if code != 0 and not failed:
        say("\n".join(output.splitlines()[-30:]))
        failed.append("swift test")
    if not passed:
        say("no test ran: that is a failure")
        failed.append("no test")
    say(f"{len(passed)} passed, {len(failed)} failed")
    return len(passed), len(failed)


def formatting():
    """The Swift sources are formatted and documented as .swift-format has it. Returns (passed, failed)."""
    say("== the Swift sources, by swift format lint")
    done = subprocess.run(["swift", "format", "lint", "--strict", "--recursive", "--parallel", *_LINTED], cwd=_HERE.parent,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    say(done.stdout + ("ok" if done.returncode == 0 else "FAIL swift format lint"))
    if done.returncode != 0:
        _FAILURES.append(["FAIL swift format lint", *done.stdout.splitlines()])
    return (1, 0) if done.returncode == 0 else (0, 1)


def programs():
    """The package is built without warnings of its own code. Returns (passed, failed)."""
    say("== the programs, built without warnings")
    found = []

    def note(line):
        if re.search(r"(Sources|Examples)/.*: (warning|error):", line):
            found.append(line)
    # Only what is compiled now can warn: in a warm tree the check was made when it was compiled.
    build.swift(["build", *build.RELEASE], build.scratch() / "release", say,
                "building the programs", note)
    libraries()
    for line in found:
        say(line)
        _FAILURES.append([line])
    return (0, 1) if found else (1, 0)


def libraries():
    """The C library and the preload library, where the lab's tests look for them."""
    root, made = _HERE.parent, _programs() / "lib"
    for command in ([root / "Packaging" / "link-library", _programs(), made],
                    ["make", "-s", "-C", root / "Sources" / "Preload", f"OUT={made}"]):
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                check=False)
        if result.returncode != 0:
            raise LabError(f"{Path(command[0]).name} failed:\n{result.stdout}")


def _programs():
    return build.scratch() / "release" / "release"


def _python(title, script, *options, needs=None):
    """A job of a program of ours in Python."""
    words = [sys.executable, str(_HERE / script), "--programs", str(_programs()), *map(str, options)]
    return Job(title, words, needs)


def cost():
    """What measures time runs alone. Returns (passed, failed)."""
    job = Job("built with optimisation: what a registration costs, over the fake libibverbs",
              [str(_programs() / "registration-cost")])
    slot = Job("built with optimisation: what a slot costs a drive's server, over the fake libibverbs and no drive",
               [str(_programs() / "slot-cost")])
    return run_jobs([job, slot], 1, _say_and_keep)


def host_jobs():
    """What needs no lab. Each keeps one processor busy."""
    return [
        Job("the documentation: no warning, every error of the tables, examples that compile",
            # The tree of the tests has the modules already.
            [sys.executable, str(_HERE.parent / "Documentation" / "build"),
             "--scratch", str(build.scratch() / "debug"), "--output", str(build.scratch() / "documentation")]),
        _python("the C library, used and misused by a C program", "clibrary.py"),
        _python("the Python module over the C library", "python.py"),
        _python("archives that ask for too much, refused within bounds of memory and time", "archives.py"),
        _python("tests that hang", "hangs.py"),
        _python("what is installed", "packaging.py"),
        _python("the lab's cache: builds that fail, are killed, or meet another", "labcache.py"),
        _python("the lab beside others: their files in its way, a thousand starts, QEMU's rights", "labprivate.py"),
        # There the order of destruction could change.
        Job("built with optimisation: the order of destruction, over the fake libibverbs",
            [str(_programs() / "destruction-order")]),
        _python("built with optimisation: nothing allocates or counts references once per message",
                "machine_code.py"),
    ]


def built_kernel():
    """The kernel that the lab compiles, and what builds modules for it."""
    return Preparation("the lab's kernel that is built here", [
        sys.executable, str(_HERE.parent / "Examples" / "lab" / "lab"), "fetch", "--kernel", BUILT, "--builder"])


def lab_jobs(match, long, kernel):
    """The device tests: real kernels, verbs and NVMe in virtual machines. Some need the built `kernel`."""
    script = str(_HERE / "lab" / "run_lab_tests.py")
    words = (["--only", match] if match else []) + (["--long"] if long else [])
    listed = subprocess.run([sys.executable, script, "--jobs", *words], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise LabError(listed.stderr.strip())
    return [_python("in the lab: " + name, "lab/run_lab_tests.py", "--job", name, *words,
                    needs=kernel if BUILT in kernels.split() else None)
            for name, kernels in (line.split("\t") for line in listed.stdout.splitlines())]


def oracles(kernel):
    """The capability check against what running kernels do, the built one last."""
    script, title = "oracle/oracle.py", "in the lab: what PeerMR says of PCI topologies against what the kernel does"
    return [_python(title, script),
            _python(title + f", on the kernel `{BUILT}`", script, "--kernel", BUILT, needs=kernel)]


def kernels(kernel):
    """The project's list of host bridges against the lab's kernels."""
    return _python("the list of host bridges against the images of the lab's kernels", "kernels.py", needs=kernel)


def demo():
    """The demo by true DMA; the other one's parts are tested in the lab."""
    return _python("in the lab: the demo by true DMA, as a user runs it", "demo.py")


def engine_pages():
    """The pages of the engines, followed as a new user does; what the engines do is tested with the lab's others."""
    return _python("in the lab: the pages of Examples/engines, word for word", "engine_pages.py")


def side_by_side(options, kernel):
    """Everything that takes long and measures no time, the longest first."""
    jobs = []
    if options.only != "host" and not options.match:
        jobs += oracles(kernel)
    if options.only != "lab" and not options.match:
        jobs += host_jobs()
    if options.only != "host":
        jobs += lab_jobs(options.match, options.long, kernel)
    if options.only != "host" and not options.match:
        jobs += [engine_pages(), demo(), kernels(kernel)]
    return jobs


def main():
    parser = argparse.ArgumentParser(prog="Tests/run", description="Runs the project's tests.")
    parser.add_argument("--only", choices=["host", "lab"], help="only the tests on this machine, "
                        "or only those in the lab")
    parser.add_argument("--match", metavar="WORD", type=pattern, help="only the lab tests with WORD in their names")
    parser.add_argument("--long", action="store_true", help="also the lab tests that take long and add little")
    options = parser.parse_args()
    began = time.monotonic()
    on_host = options.only != "lab" and not options.match
    rings = [formatting, host_tests] if on_host else []
    rings.append(programs)
    rings += [cost] if on_host else []
    kernel = built_kernel()
    try:
        jobs = side_by_side(options, kernel)
    except LabError as error:
        say(f"{error}\n0 passed, 1 failed")
        return 1
    rings.append(lambda: run_jobs(jobs, workers(), _say_and_keep))
    passed = failed = 0
    with signals.orderly(), contextlib.ExitStack() as stack:
        if any(job.needs for job in jobs):
            stack.enter_context(kernel)
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
