# SPDX-License-Identifier: Apache-2.0
"""Directories and locks that are ours alone.

The lab is often run as root, and its cache may have been put where others can write too. What
somebody else has laid there is neither followed, emptied, waited for nor deleted: it is refused.
"""
import contextlib
import fcntl
import os
import stat

from .errors import LabError

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def directory(path):
    """Make `path` unless it is there, and make sure that it is a directory of ours that nobody else writes to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(path, f"is no directory that can be used ({error.strerror})") from error
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise _refused(path, f"belongs to user {found.st_uid}")
        if found.st_mode & _OTHERS_MAY_WRITE:
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~_OTHERS_MAY_WRITE)
    finally:
        os.close(descriptor)
    return path


@contextlib.contextmanager
def locked(path, shared=False, wait=True):
    """Hold the lock in the file `path`; yields False when `wait` is false and somebody else has it."""
    descriptor = _open(path)
    try:
        mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        try:
            fcntl.flock(descriptor, mode)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _open(path):
    """Open a lock file: never by a link, never emptied, and without waiting at what only looks like a file."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise _refused(path, f"cannot be opened as a lock ({error.strerror})") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise _refused(path, "is no lock file of this user")
    return descriptor


def write_new(path, text):
    """Write a file that is not there yet: what a guest has laid in its place is not followed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(descriptor, "w") as file:
        file.write(text)


def _refused(path, what):
    return LabError(f"{path} {what}: the lab uses only what this user has made. Delete it, or name "
                    "another place for the cache in PEERMR_CACHE.")
