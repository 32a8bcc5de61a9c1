# SPDX-License-Identifier: Apache-2.0
"""What tests check again and again. Each raises Failure with a sentence."""
import hashlib
import json
import os
import random
import re
import subprocess

from registry import Failure


def check(condition, sentence):
    """Fail with `sentence` unless the condition holds."""
    if not condition:
        raise Failure(sentence)


def equal(found, expected, what):
    """Fail unless the two are equal."""
    check(found == expected, f"{what} is {found!r} instead of {expected!r}")


def soon(look, limit, what, tries=3):
    """Fail unless `look`, which gives seconds, once gives less than `limit`: a machine may be busy for a while."""
    taken = []
    while len(taken) < tries:
        taken.append(look())
        if taken[-1] < limit:
            return
    raise Failure(f"{what} took {', '.join(f'{seconds:.2f}' for seconds in taken)} s, "
                  f"and less than {limit} is wanted")


def probed(result):
    """What a memory-probe that has ended found, by name. Nothing may be left open."""
    equal(result.code, 0, "the exit code of memory-probe")
    found = dict(re.findall(r"^(.+?): (.*)$", result.stdout, re.MULTILINE))
    equal(found.get("leaked"), "[]", "the descriptors that are left open")
    return found


def here(words, env=None):
    """Run a command on this machine, which has to succeed; returns what it printed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False,
                          env={**os.environ, **(env or {})})
    check(done.returncode == 0,
          f"{' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def same_bytes(found, expected, what):
    """Fail unless two runs of bytes are equal, and say where they part."""
    equal(len(found), len(expected), f"the length of {what}")
    if found != expected:
        count = sum(a != b for a, b in zip(found, expected))
        first = next(i for i, (a, b) in enumerate(zip(found, expected)) if a != b)
        raise Failure(f"{what}: {count} of {len(found)} bytes differ, the first at {first}")


def noise(count, seed):
    """Bytes that are the same in every run, and nowhere zero or repeated for long."""
    return random.Random(seed).randbytes(count)


def sha256(data):
    """The digest, as nic-to-nvme writes it."""
    return hashlib.sha256(data).hexdigest()


def objects(text):
    """The JSON objects of a program's output, one on each line."""
    try:
        found = [json.loads(line) for line in text.splitlines()]
    except ValueError as error:
        raise Failure(f"standard output is no JSON: {error}") from error
    check(all(isinstance(item, dict) for item in found), "standard output holds other than objects")
    return found


def error_of(result):
    """The one sentence that a program gave as its error."""
    found = re.findall(r"^nic-to-nvme: error: (.*)$", result.stderr, re.MULTILINE)
    equal(len(found), 1, "the number of lines 'nic-to-nvme: error: …'")
    last = result.stderr.rstrip("\n").splitlines()[-1]
    check(last.endswith(found[0]), "the error is not the last line")
    return found[0]


def refused(result, *patterns, code=1):
    """Fail unless a program ended with `code` and one sentence that says cause and remedy.

    The cause stands before the semicolon, the remedy behind it; `patterns` are searched in the
    whole sentence, in this order.
    """
    equal(result.code, code, "the exit code")
    sentence = error_of(result)
    cause, _, remedy = sentence.partition("; ")
    check(len(cause) > 15 and len(remedy) > 10, f"cause or remedy is missing in: {sentence}")
    in_order(sentence, *patterns)
    return sentence


def in_order(text, *patterns):
    """Fail unless the regular expressions are found in `text` one after the other."""
    place = 0
    for pattern in patterns:
        found = re.compile(pattern).search(text, place)
        check(found, f"{pattern!r} is not found (in this order) in: {text}")
        place = found.end()
