# SPDX-License-Identifier: Apache-2.0
"""The order of writes, flushes and acknowledgements at the drive, from the log that QEMU keeps of what it was told."""
import hashlib
import random
import time

from peerlab import drivelog

from checks import check, equal, noise
from registry import CYCLES, test

KIB = 1 << 10
MIB = 1 << 20
# Whole blocks and parts of some; less than a slot, many slots.
_SIZES = (1, 4096, 100_001, 256 * KIB, 2 * MIB + 5000)
# The first bytes of a record of a put that is complete: magic, version, state, zero. The SHA-256 is at byte 24.
_COMPLETE = b"PMCR\x01\x00\x02\x00"


def logged(bench):
    """The log of the server's drive, from here on."""
    log = drivelog.DriveLog(bench.server.logs["nvme0"])
    log.new()
    return log


def lost(before, entries, data, offset):
    """How many bytes of a file are not there if the power goes after these entries, and the cache with it."""
    drive = drivelog.Drive(before)
    for entry in entries:
        drive.take(entry)
    found = drive.after([])[offset:offset + len(data)]
    return sum(a != b for a, b in zip(found, data))


@test(CYCLES)
def acknowledged_is_flushed(bench):
    """What the drive was told by the time of an acknowledgement: all writes of the put, and a flush behind them."""
    for memory in ("p2pmem", "host"):
        with bench.serve("--memory", memory, "--slot-size", "64K", "--slots", 4):
            for number, size in enumerate(_SIZES):
                before = bench.fill(0, 4 * MIB, seed=901 + number)
                data, offset = noise(size, 911 + number), number * 64 * KIB
                path = bench.file("flushed", data)
                log = logged(bench)
                equal(bench.put(path, "--offset", offset, "--no-verify").code, 0, "the exit code of put")
                entries = log.new()
                equal(lost(before, entries, data, offset), 0, f"the lost bytes of {size} that were acknowledged")
                # Without its flushes the same log has to lose them: else this test sees nothing.
                writes = [entry for entry in entries if not entry.flushes]
                check(lost(before, writes, data, offset) > size // 2, "nothing would be lost without the flush")
                # More than one costs time and promises nothing.
                equal(len(entries) - len(writes), 1, "the number of flushes of a put")


@test(CYCLES)
def nothing_is_acknowledged_before(bench):
    """While the drive is at its flush no put is acknowledged, whoever else is served; when it is done, it is."""
    with bench.serve("--clients", 2) as server:
        for size in (5 * KIB, 3 * MIB):
            data = noise(size, 921)
            path = bench.file("held", data)
            before, log = bench.fill(0, 4 * MIB, seed=922), logged(bench)
            bench.server.hold_flushes("nvme0")
            bench.later(lambda: bench.server.let_flush("nvme0"))
            put = [bench.program, "put", "--connect", bench.server.address, "--json", "--no-verify", str(path)]
            client = bench.start(bench.client, put)
            seen = []

            def all_written():
                seen.extend(log.new())
                return bench.drive(0, size) == data
            bench.settles(all_written, True, "whether all of the file was written")
            time.sleep(3)
            check(client.running, "the put was acknowledged while the drive was at its flush")
            equal(client.stdout(), "", "what the client has said")
            seen += log.new()
            equal([entry for entry in seen if entry.flushes], [], "the flushes that were done")
            # The power could go now: nothing was promised, and nothing has to be there.
            check(lost(before, seen, data, 0) > size // 2, "the drive has what it has not flushed")
            bench.server.let_flush("nvme0")
            equal(client.wait(40).code, 0, "the exit code of the put")
            equal(lost(before, seen + log.new(), data, 0), 0, "the lost bytes of what was acknowledged")
        server.transfers(2)


def cuts(entries, before, rng):
    """What may be on the drive if the power goes at each point of a log: with nothing, all, each one and some of what
    was in the cache. (number, bytes)"""
    drive = drivelog.Drive(before)
    for number, entry in enumerate([None, *entries]):
        if entry:
            drive.take(entry)
        cached = drive.cached
        kept = [[], cached, *([each] for each in cached)]
        kept += [[each for each in cached if rng.random() < 0.5] for _ in range(4)]
        for some in kept:
            yield number, drive.after(some)


def liars(entries, before, size, place):
    """The cuts at which a record says that other bytes than its own are complete; and how many cuts there are."""
    count, found = 0, []
    for number, image in cuts(entries, before, random.Random(931)):
        count += 1
        digest = bytes(image[place + 24:place + 56])
        if image[place:place + 8] == _COMPLETE and hashlib.sha256(image[:size]).digest() != digest:
            found.append(number)
    return found, count


@test(CYCLES)
def power_goes_anywhere(bench):
    """put --commit, cut at every point of the drive's log: the record never says "complete" of what is not there."""
    size = 300 * KIB + 77
    place = -(-size // 4096) * 4096
    total = 0
    with bench.serve("--slot-size", "64K", "--slots", 4):
        for seed in (941, 942):
            # The second time over the record and the data of the first.
            before = bench.drive(0, MIB) if total else bench.fill(0, MIB, seed=940)
            data, log = noise(size, seed), logged(bench)
            equal(bench.put(bench.file("commit", data), "--commit").code, 0, "the exit code of put --commit")
            entries = log.new()
            found, count = liars(entries, before, size, place)
            equal(found, [], "the points where a record says of other bytes that they are complete")
            total += count
            equal(bench.drive(place, 8), _COMPLETE, "the record in the end")
            writes = [entry for entry in entries if not entry.flushes]
            check(liars(writes, before, size, place)[0], "without its flushes the put would be as safe")
            check(len(entries) - len(writes) >= 3, "there are fewer flushes than sessions")
    print(f"     {total} cuts of two puts with a record", flush=True)
