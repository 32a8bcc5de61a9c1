#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The lab's cache and the kernel that the lab builds: what is left of builds that fail, are killed, or meet another.

    labcache.py [--programs DIR] [WORD]         the tests with WORD in their names

Nothing is compiled here: what would take minutes is replaced by a program that fails or waits. DIR is not used.
"""
import argparse
import contextlib
import errno
import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
_LAB = str(Path(__file__).resolve().parents[1] / "Examples" / "lab")
sys.path.insert(0, _LAB)

from peerlab import LabError, cache, engines, kernel, sandbox, unchecked     # noqa: E402
from hosttests import check, run_tests, test                        # noqa: E402

_NAME = f"kernel-{unchecked.NAME}"

# Builds the generation of its argument as far as a file, says so, and waits.
_BUILDER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from peerlab import cache, signals
with signals.orderly(), cache.building(print, lock=sys.argv[3]), cache.locked("use", shared=True):
    with cache.generation(sys.argv[2], {"form": "x"}) as work:
        (work / "half").write_text("half")
        print("building", flush=True)
        time.sleep(float(sys.argv[4]))
"""


@contextlib.contextmanager
def builder(name=_NAME, lock=_NAME, seconds=60):
    """Another process that is in the middle of building a generation."""
    with subprocess.Popen([sys.executable, "-c", _BUILDER, _LAB, name, lock, str(seconds)], text=True,
                          stdout=subprocess.PIPE, preexec_fn=sandbox.die_with_parent) as child:
        check(child.stdout.readline() == "building\n", "the other process does not build")
        try:
            yield child
        finally:
            child.kill()


def own_cache(function):
    """Give a test a cache of its own."""
    @functools.wraps(function)
    def wrapped():
        with tempfile.TemporaryDirectory() as place, mock.patch.dict(os.environ, PEERMR_CACHE=place):
            function()
    return wrapped


def contents():
    """What is in the cache besides locks."""
    return sorted(path.name for path in cache.lab_cache().iterdir() if path.suffix != ".lock")


def nothing(text):
    """Progress that nobody reads."""


@test
@own_cache
def interrupted():
    """Ctrl-C while a generation is built: nothing is left of it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with builder() as child:
            check(len(contents()) == 1, f"a build has one temporary directory: {contents()}")
            child.send_signal(number)
            check(child.wait(10) == 128 + number, f"it ended with {child.returncode}")
        check(contents() == [], f"left by an interrupted build: {contents()}")


@test
@own_cache
def killed():
    """SIGKILL leaves a directory that the next builder of the same lock sweeps, and no generation."""
    with builder() as child:
        child.kill()
        child.wait(10)
    check(len(contents()) == 1, f"left by a killed build: {contents()}")
    check(cache.current(_NAME) == (None, {}), "a killed build is no generation")
    with cache.building(nothing):
        check(len(contents()) == 1, "the other lock's holder knows nothing of whether that builder lives")
    with cache.building(nothing, lock=_NAME):
        check(contents() == [], f"left after the next build: {contents()}")


@test
@own_cache
def others_do_not_wait():
    """While the kernel is built other generations are built and published, and sweep only what is theirs."""
    with builder(seconds=3) as child:
        began = time.monotonic()
        with cache.building(nothing), cache.generation("root", {"recipe": "x"}) as work:
            (work / "file").write_text("whole")
        check(time.monotonic() - began < 2, "the build lock was waited for")
        check(child.wait(20) == 0, "the kernel's build, beside which others were swept")
    check((cache.current(_NAME)[0] / "half").exists(), "the kernel's generation")
    check((cache.current("root")[0] / "file").exists(), "the other generation")


@test
@own_cache
def two_at_once():
    """The second to ask for the kernel waits for the first, and takes what that made."""
    said = []
    with builder(seconds=2) as child, whole_kernel() as built:
        unchecked.build(said.append, lambda: cache.current(_NAME)[0])
        check(child.wait(1) == 0, "the second did not wait")
    check("waiting for another run" in said[0], f"what people are told: {said}")
    check(not built.called, "the second built once more")


@contextlib.contextmanager
def whole_kernel(failure=None):
    """In place of the compilation: a kernel of empty files, or what `failure` does with the log."""
    def build(_root, work, about, log):
        if failure:
            failure(log)
        about.update(version="6.12.1", packages=f"{unchecked.SOURCE}=6.12.1-1")
        for name in unchecked._PROVEN:
            file = work / name.format(version="6.12.1")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("whole")
        about["sizes"] = unchecked._sizes(work, "6.12.1")
    with mock.patch.object(unchecked, "guest_root", cache.lab_cache), \
            mock.patch.object(unchecked, "_build", side_effect=build) as built:
        yield built


def build_kernel():
    """Ask for the kernel as the lab does."""
    unchecked.build(nothing, lambda: kernel.kernel(unchecked.NAME))


@test
@own_cache
def damaged():
    """A kernel with a file that is cut short, gone, or of other options is none, and is built once more."""
    with whole_kernel() as built:
        build_kernel()
        build_kernel()
        check(built.call_count == 1, "a whole kernel was built again")
        for number, damage in enumerate((
                lambda path: os.truncate(path / "vmlinux", 2), lambda path: (path / "headers/Makefile").unlink(),
                lambda path: (path / "about.json").write_text("{"), lambda path: cache.remove(path))):
            damage(cache.current(_NAME)[0])
            check(kernel.kernel(unchecked.NAME) is None, f"damage {number} is not seen")
            build_kernel()
            check(built.call_count == number + 2, f"after damage {number} it was not built again")
        with mock.patch.object(unchecked, "form", lambda: "other options"):
            check(kernel.kernel(unchecked.NAME) is None, "other options want another kernel")


def refusal(failure):
    """The error when the kernel's build fails like that; nothing may be left of the build."""
    with whole_kernel(failure):
        try:
            build_kernel()
        except LabError as error:
            check(contents() in ([], [f"{_NAME}.log"]), f"left by a failed build: {contents()}")
            return str(error)
    check(False, "the build did not fail")


def _compiler(log):
    log += ["fetched", "mm/hmm.c:12:1: error: unknown type name 'foo'", "make[1]: *** [mm/hmm.o] Error 1"]
    raise LabError("the build failed with code 2. Its last lines: ...")


def _network(log):
    log += ["Get:1 ...", "E: Failed to fetch linux-source-6.12_6.12.1-1_all.deb  Connection timed out"]
    raise LabError("the build failed with code 100. Its last lines: ...")


def _full(log):
    log += ["fetched", "cc1: error: error writing to mm/hmm.s: No space left on device", "make: *** Error 1"]
    raise LabError("the build failed with code 2. Its last lines: ...")


def _full_here(_log):
    raise OSError(errno.ENOSPC, "No space left on device")


@test
@own_cache
def failed():
    """A build that fails says why in a sentence, keeps the end of its log, and the next starts over."""
    place = cache.lab_cache()
    for failure, words, has_log in (
            (_compiler, ("mm/hmm.c:12:1: error: unknown type name 'foo'", str(place / f"{_NAME}.log")), True),
            (_network, ("Failed to fetch linux-source", "Connection timed out", "out of reach"), True),
            (_full, (f"no space is left in {place}", "PEERMR_CACHE"), True),
            (_full_here, (f"no space is left in {place}", "PEERMR_CACHE"), False)):
        cache.remove(place / f"{_NAME}.log")
        said = refusal(failure)
        check(said.startswith("The kernel 'unchecked' could not be built: ") and "\n" not in said, said)
        for word in words:
            check(word in said, f"{word!r} is missing in: {said}")
        check((place / f"{_NAME}.log").exists() == has_log, f"the log of {failure.__name__}")
    with whole_kernel():
        build_kernel()
    check(kernel.kernel(unchecked.NAME), "a build after failures")
    check(f"{_NAME}.log" not in contents(), "the log of a failure outlives it")


@test
@own_cache
def too_little_space():
    """Where the disk or the memory has no room for a build it is not begun."""
    with mock.patch.object(unchecked, "guest_root", cache.lab_cache), \
            mock.patch.object(unchecked, "in_root") as begun:
        for what, words in (({"shutil.disk_usage": lambda path: mock.Mock(free=100 << 20)}, "there are 100"),
                            ({"_MEMORY_MIB": 1 << 30}, "in memory, which takes 1073741824 MiB")):
            (name, value), = what.items()
            with mock.patch(f"peerlab.unchecked.{name}", value):
                try:
                    build_kernel()
                except LabError as error:
                    check(words in str(error), str(error))
            check(contents() == [], f"left: {contents()}")
        check(not begun.called, "it was begun")


@test
@own_cache
def engines_out_of_reach():
    """The root with the engines: where its wheel cannot be fetched, or pip is not here, nothing is left of it."""
    root = (cache.lab_cache() / "root.generation.x" / "tree", {})
    for place, what, failure, words in (
            (engines, "run_sandboxed", LabError("pip failed with code 1."), ("engines.txt", "reaches an index")),
            (engines.subprocess, "run", OSError(), ("apt-get install python3-pip",))):
        with mock.patch.object(engines, "assets", lambda *_: root), \
                mock.patch.object(place, what, side_effect=failure):
            try:
                engines.engines_root(nothing)
            except LabError as error:
                check(all(word in str(error) for word in words), f"it says {error}")
            else:
                check(False, "it did not fail")
        check(contents() == [], f"left by a failed build: {contents()}")


def main():
    """Run what the command line asks for, each test with a cache of its own."""
    parser = argparse.ArgumentParser(description="The lab's cache, and the kernel that the lab builds.")
    parser.add_argument("--programs", help="not used")
    parser.add_argument("word", nargs="?", default="")
    return run_tests(parser.parse_args().word)


sys.exit(main())
