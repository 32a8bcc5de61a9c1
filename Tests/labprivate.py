#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What others can do to the lab of somebody who runs it as root: lay things in its way, start it at once, break out.

    labprivate.py [--programs DIR] [WORD]       the tests with WORD in their names

DIR is not used.
"""
import argparse
import contextlib
import functools
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Examples" / "lab"))

from peerlab import LabError, cache, private, qemu, sandbox, unprivileged   # noqa: E402
from hosttests import check, run_tests, test                                # noqa: E402

_STARTS = 1000
_NOBODY = 65534


def own_cache(function):
    """Give a test a cache of its own, in a directory that others can write to."""
    @functools.wraps(function)
    def wrapped():
        with tempfile.TemporaryDirectory() as place, mock.patch.dict(os.environ, PEERMR_CACHE=place):
            os.chmod(place, 0o1777)
            function(Path(place))
    return wrapped


def refusal(function, *words):
    """What `function` is refused with, which must be soon."""
    signal.alarm(10)
    try:
        with function() as _:
            pass
    except LabError as error:
        text = str(error)
        check("\n" not in text and "PEERMR_CACHE" in text, f"not a sentence with a remedy: {text}")
        for word in words:
            check(word in text, f"{word!r} is missing in: {text}")
        return
    finally:
        signal.alarm(0)
    check(False, f"it was taken: {words}")


@test
@own_cache
def locks_of_others(place):
    """A link, a FIFO, a directory and another user's file in place of a lock: refused, and nothing happens to them."""
    lab = cache.lab_cache()
    victim = place / "victim"
    victim.write_text("precious")
    lock = lab / "use.lock"
    for what, lay in (("link", lambda: lock.symlink_to(victim)),
                      ("hard link to nothing", lambda: lock.symlink_to(place / "nothing")),
                      ("FIFO", lambda: os.mkfifo(lock)), ("directory", lock.mkdir)):
        lay()
        refusal(lambda: cache.locked("use"), str(lock))
        check(victim.read_text() == "precious", f"a {what} in place of a lock: what it leads to was changed")
        check(not (place / "nothing").exists(), f"a {what} in place of a lock: made what it leads to")
        cache.remove(lock) if what != "directory" else lock.rmdir()
    if os.geteuid() == 0:
        lock.write_text("theirs")
        os.chown(lock, _NOBODY, _NOBODY)
        refusal(lambda: cache.locked("use"), str(lock))
        check(lock.read_text() == "theirs", "another user's file in place of a lock was emptied")


@test
@own_cache
def locks_are_kept(_place):
    """A lock file that holds something, as an older version may have left, is neither emptied nor in the way."""
    lock = cache.lab_cache() / "use.lock"
    lock.write_text("kept")
    with cache.locked("use") as got:
        check(got, "the lock is not taken")
    check(lock.read_text() == "kept", "the lock file was emptied")


@test
@own_cache
def directories_of_others(place):
    """A link or another user's directory in place of the lab's, or of its runs', is not used."""
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (place / "lab").symlink_to(elsewhere)
    refusal(lambda: cache.locked("use"), str(place / "lab"))
    check(not list(elsewhere.iterdir()), "written through a link")
    (place / "lab").unlink()
    (cache.lab_cache() / "runs").symlink_to(elsewhere)
    refusal(cache.run_directory, "runs")
    (place / "lab" / "runs").unlink()
    if os.geteuid() == 0:
        (place / "lab" / "runs").mkdir()
        os.chown(place / "lab" / "runs", _NOBODY, _NOBODY)
        refusal(cache.run_directory, "runs", f"user {_NOBODY}")


@test
@own_cache
def nobody_else_writes(place):
    """The lab's directories are closed to others, those that were open before too."""
    (place / "lab").mkdir(mode=0o777)
    os.chmod(place / "lab", 0o777)
    with cache.run_directory() as run:
        for path in (run, run.parent, place / "lab"):
            check(path.stat().st_mode & 0o022 == 0, f"others write to {path}: {path.stat().st_mode:o}")


def _start(number, report):
    """One start of the lab, in a process of its own: its directory must last as long as it does."""
    with cache.run_directory() as run:
        mine = run / "mine"
        mine.write_text(str(number))
        time.sleep((number % 7) * 0.03)
        lost = not (run / "lock").exists() or not mine.exists() or mine.read_text() != str(number)
    os.write(report, b"L" if lost else b".")


@test
@own_cache
def a_thousand_starts(_place):
    """Runs that start and end beside each other, some of them killed, sweep none that lives and leave nothing."""
    heard, report = os.pipe()
    children = {}
    for number in range(_STARTS):
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                _start(number, report)
            os._exit(0)
        children[child] = number
        if number % 5 == 4:
            os.kill(child, signal.SIGKILL)
        while len(children) >= 64:
            children.pop(os.wait()[0])
    while children:
        children.pop(os.wait()[0])
    os.close(report)
    with open(heard, "rb") as file:
        told = file.read()
    check(b"L" not in told, f"{told.count(b'L')} of {_STARTS} runs lost their directory while they lived")
    check(len(told) >= _STARTS * 4 // 5, f"only {len(told)} of {_STARTS} runs came to their end")
    with cache.run_directory() as run:
        left = [path.name for path in run.parent.iterdir() if path != run]
    check(not left, f"{len(left)} directories are left of runs that were killed")


@test
def what_a_guest_lays():
    """A guest that lays a link where the lab writes next does not have it followed."""
    with tempfile.TemporaryDirectory() as place:
        victim, path = Path(place, "victim"), Path(place, "1.sh")
        victim.write_text("precious")
        path.symlink_to(victim)
        try:
            private.write_new(path, "text")
        except FileExistsError:
            check(victim.read_text() == "precious", "what the link leads to was changed")
            return
        check(False, "it was written")


@test
def rights_of_the_machine():
    """QEMU is started in its sandbox; by root as another user that may read, and write only to what it is given."""
    words = qemu.machine("tcg")
    check(words[words.index("-sandbox") + 1].startswith("on,"), f"no sandbox: {words}")
    check(unprivileged.words(True, "tcg") == [], "rights are dropped where it writes to what is not the lab's")
    if os.geteuid() != 0:
        check(unprivileged.words(False, "tcg") == [], "a user without rights has none to drop")
        return
    with tempfile.TemporaryDirectory() as place:
        mine, given = Path(place, "mine"), Path(place, "given")
        for path in (mine, given):
            path.write_text("old")
            path.chmod(0o600)
        unprivileged.hand_over([given])
        prefix = unprivileged.words(False, "tcg")
        check(prefix, "QEMU would run as root")
        script = f"id -u; cat {mine}; echo new > {given}; echo new > {mine}"
        with os.popen(f"{' '.join(prefix)} sh -c '{script}' 2>/dev/null") as child:
            told = child.read()
        check(told == f"{_NOBODY}\nold", f"it said {told!r}")
        check((mine.read_text(), given.read_text()) == ("old", "new\n"), "what it wrote to")


@test
def causes():
    """The error of a set-up program names its own cause: namespaces, space, the network, or none that is known."""
    cases = (("unshare: cannot change root filesystem propagation: Invalid argument", "mount --bind"),
             ("unshare: unshare failed: Operation not permitted", "--privileged"),
             ("cp: error writing 'x': No space left on device", "PEERMR_CACHE"),
             ("E: Failed to fetch http://x/y  Could not resolve 'x'", "PEERMR_LAB_MIRROR"),
             ("E: Failed getting release file http://x/Release", "PEERMR_LAB_MIRROR"),
             ("W: Failure while configuring required packages.", None),
             ("dpkg: error processing package x", None))
    for line, word in cases:
        said = _said_of(f"echo \"{line}\"; exit 1")
        if word:
            check(word in said, f"{line!r} led to: {said}")
        hints = sum(name in said for name in ("PEERMR_LAB_MIRROR", "PEERMR_CACHE", "--privileged", "mount --bind"))
        check(hints == (1 if word else 0), f"{line!r} led to {hints} remedies: {said}")


def _said_of(script):
    try:
        sandbox.run_sandboxed(["sh", "-c", script], "the set-up")
    except LabError as error:
        return str(error)
    return ""


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="The lab against others on the same machine.")
    parser.add_argument("--programs", help="not used")
    parser.add_argument("word", nargs="?", default="")
    return run_tests(parser.parse_args().word)


sys.exit(main())
