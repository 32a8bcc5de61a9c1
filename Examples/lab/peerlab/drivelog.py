# SPDX-License-Identifier: Apache-2.0
"""What a drive of a guest was told, in its order: the log that QEMU's blklogwrites keeps.

The format is that of the kernel's dm-log-writes: a sector with magic, version, the number of entries and the size of a
sector; then each entry, a sector of its own, with the bytes that were written behind it. Entry and number are written
when a request has ended, before the guest hears of that.
"""
import struct
from dataclasses import dataclass

from .errors import LabError

_MAGIC, _VERSION = 0x6a736677736872, 1
_FLUSH, _FUA, _DISCARD = 1, 2, 4


@dataclass
class Entry:
    """A request that the drive has done."""

    offset: int
    count: int
    flushes: bool       # what ended before it is on stable storage
    lasts: bool         # it is there itself when it has ended
    data: bytes = None  # what was written; None for a discard, and empty for a flush alone

    @property
    def end(self):
        """Where it stands no more, in bytes."""
        return self.offset + self.count


class DriveLog:
    """Reads a log while it grows."""

    def __init__(self, path):
        self._path = path
        self._place = self._count = 0

    def new(self):
        """The entries since the last time."""
        found = []
        with open(self._path, "rb") as log:
            magic, version, total, sector = struct.unpack("<QQQI", log.read(28).ljust(28, b"\0"))
            if not magic:
                return found        # nothing has been done yet
            if (magic, version) != (_MAGIC, _VERSION):
                raise LabError(f"{self._path} is no log of writes of version 1.")
            self._place = self._place or sector
            while self._count < total:
                log.seek(self._place)
                first, sectors, flags, _ = struct.unpack("<QQQQ", log.read(32))
                log.seek(self._place + sector)
                data = None if flags & _DISCARD else log.read(sectors * sector)
                found.append(Entry(first * sector, sectors * sector, bool(flags & _FLUSH), bool(flags & _FUA), data))
                self._place += sector + len(data or b"")
                self._count += 1
        return found


class Drive:
    """A part of a drive whose cache a loss of power empties: what is on stable storage, and what is not yet."""

    def __init__(self, before, offset=0):
        """`before`: what stands on stable storage from `offset` on."""
        self.stable = bytearray(before)
        self.offset = offset
        self.cached = []

    def take(self, entry):
        """The drive does what an entry says.

        What ended while a flush was under way counts as flushed: more than a drive promises, where several write at
        once.
        """
        if entry.flushes:
            for each in self.cached:
                self._put(self.stable, each)
            self.cached = []
        if entry.count and entry.lasts:
            self._put(self.stable, entry)
        elif entry.count:
            self.cached.append(entry)

    def after(self, kept):
        """What is there after a loss of power that has left those cached writes, and nothing else of the cache."""
        image = bytearray(self.stable)
        for each in kept:
            self._put(image, each)
        return image

    def _put(self, image, entry):
        first = max(entry.offset, self.offset)
        end = min(entry.end, self.offset + len(image))
        if first < end:
            data = entry.data or bytes(entry.count)
            image[first - self.offset:end - self.offset] = data[first - entry.offset:end - entry.offset]
