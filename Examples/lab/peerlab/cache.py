# SPDX-License-Identifier: Apache-2.0
"""The cache: large things that are built once and used by every later run.

A thing is either wholly there or not there at all. It is built in a temporary directory beside its
final place, and a symbolic link is put over to it by one rename. All building happens under one
lock, so its holder may delete every temporary directory: the builder is dead. What takes very long
has a lock of its own, and its temporary directories are those of that lock's holder.
Things in use are protected by a second, shared lock: an old generation is deleted only when
no machine runs.
"""
import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from . import private, signals
from .errors import LabError


def cache_root():
    """The project's cache directory: $PEERMR_CACHE, else as the XDG rules have it."""
    if named := os.environ.get("PEERMR_CACHE"):
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base).absolute() / "peermr"


def lab_cache():
    """The lab's part of the cache, made when first asked for; ours alone."""
    return private.directory(cache_root() / "lab")


def locked(name, shared=False, wait=True):
    """Hold the cache's lock `name`; yields False when `wait` is false and somebody else has it."""
    return private.locked(lab_cache() / f"{name}.lock", shared, wait)


@contextlib.contextmanager
def run_directory():
    """A private directory for one run; those of runs that were killed are swept first.

    One lock is held while a directory is made and given its own lock: whoever holds it knows that
    a directory without a held lock has lost its run.
    """
    with contextlib.ExitStack() as stack:
        with locked("runs"):
            base = private.directory(lab_cache() / "runs")
            for old in base.iterdir():
                with contextlib.suppress(LabError), private.locked(old / "lock", wait=False) as dead:
                    if dead:
                        remove(old)
            path = Path(tempfile.mkdtemp(dir=base))
            stack.enter_context(private.locked(path / "lock"))
        try:
            yield path
        finally:
            remove(path)


# Generations that have a lock of their own, under their name.
_ALONE = ["kernel-unchecked"]


@contextlib.contextmanager
def building(progress, lock="build"):
    """Hold a build lock, and sweep what earlier, killed builds left behind."""
    with locked(lock, wait=False) as got:
        if got:
            sweep(lock)
            yield
            return
    progress("waiting for another run of the lab that is filling the cache")
    with locked(lock):
        sweep(lock)
        yield


def sweep(lock="build"):
    """Delete a build lock's temporary directories, and generations nobody refers to. Needs the lock."""
    cache = lab_cache()
    for path in cache.glob("tmp.*"):
        owner = next((name for name in _ALONE if path.name.startswith(f"tmp.{name}.")), "build")
        if owner == lock:
            remove(path)
    with locked("use", wait=False) as unused:
        if not unused:
            return
        wanted = {os.readlink(path) for path in cache.iterdir() if path.is_symlink()}
        for path in cache.glob("*.generation.*"):
            if path.name not in wanted:
                remove(path)


def remove(path):
    """Delete a file, a link or a tree; a thing that is gone already is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def generation(name, about):
    """Build a new generation of `name`: yields an empty directory, published when all went well.

    `about` is kept with it as JSON; a dictionary that the builder may still change.
    """
    cache = lab_cache()
    work = Path(tempfile.mkdtemp(prefix=f"tmp.{name}.", dir=cache))
    try:
        work.chmod(0o755)
        yield work
        (work / "about.json").write_text(json.dumps(about, indent=1) + "\n")
        final = cache / f"{name}.generation.{work.name.rsplit('.', 1)[1]}"
        # What the rename promises must be on the disk before it: a power cut may come between.
        os.sync()
        work.rename(final)
        publish(cache / name, final.name)
    finally:
        with signals.shielded():
            remove(work)


def publish(link, target):
    """Point the symbolic link `link` at `target` in one step."""
    fresh = link.with_name(f"tmp.{link.name}.link")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.rename(link)


def current(name):
    """The generation of `name` in force as (directory, about), or (None, {}) if there is none."""
    link = lab_cache() / name
    try:
        return link.resolve(strict=True), json.loads((link / "about.json").read_text())
    except (OSError, ValueError):
        return None, {}
