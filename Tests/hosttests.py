# SPDX-License-Identifier: Apache-2.0
"""What the test programs on this machine have in common: tests as functions, a line for each, and a count."""
import os
import subprocess

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
