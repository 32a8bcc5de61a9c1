# SPDX-License-Identifier: Apache-2.0
"""What the test programs on this machine have in common: tests as functions, a line for each, and a count."""
import argparse
import os
import subprocess
import tempfile
from pathlib import Path

TESTS = []
_DETAIL_LINES = 20


class Failure(Exception):
    """What a test found, as one sentence, and lines of detail."""


def test(function):
    """Register a test; its docstring says what holds."""
    TESTS.append(function)
    return function


def check(condition, sentence):
    """Fail with a sentence unless the condition holds."""
    if not condition:
        raise Failure(sentence)


def run(words, env=None, cwd=None, code=0):
    """Run a command that has to end with a code; returns what it printed on standard output."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, cwd=cwd,
                          env={**os.environ, **(env or {})}, timeout=900)
    check(done.returncode == code, f"{' '.join(map(str, words))[:200]} ended with {done.returncode}\n"
          f"{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def run_tests(word, *arguments):
    """Run the tests with `word` in their names, say what came of each, and return the exit code."""
    passed = failed = 0
    for function in [function for function in TESTS if word in function.__name__]:
        try:
            function(*arguments)
        except (Failure, OSError, subprocess.TimeoutExpired) as error:
            failed += 1
            first, _, rest = str(error).partition("\n")
            print(f"FAIL {function.__name__}: {first}")
            print("\n".join("     | " + line for line in rest.splitlines()[-_DETAIL_LINES:]), flush=True)
        else:
            passed += 1
            print(f"ok   {function.__name__}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def run_library_tests(what):
    """Run the tests, with libpeermr.so and a directory for their files, as the command line asks; the exit code."""
    parser = argparse.ArgumentParser(description=f"Tests of {what} on this machine.")
    parser.add_argument("--programs", type=Path, required=True, help="the directory of the build")
    parser.add_argument("--only", default="", help="only the tests with this word in their names")
    options = parser.parse_args()
    library = options.programs.resolve() / "lib" / "libpeermr.so"
    if not library.exists():
        parser.error(f"{library} is missing: see Packaging/link-library")
    with tempfile.TemporaryDirectory() as work:
        return run_tests(options.only, library, Path(work))
