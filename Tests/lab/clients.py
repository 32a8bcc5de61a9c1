# SPDX-License-Identifier: Apache-2.0
"""Many clients at once over one drive: each has its own, a fair share, and nothing of the others."""
import re

from checks import check, equal, in_order, noise, objects, refused, same_bytes
from registry import LOOP, PAIR, test
from roundtrip import BIG_AT, begin, pid

MIB = 1 << 20
KIB = 1 << 10
SMALL = ("--slots", 4, "--slot-size", "64K")
_MASK = (1 << 64) - 1


def drawn(index, count):
    """The bytes that client `index` of many-clients puts (SplitMix64)."""
    state, words = index, []
    for _ in range(count // 8):
        state = (state + 0x9e3779b97f4a7c15) & _MASK
        mixed = ((state ^ (state >> 30)) * 0xbf58476d1ce4e5b9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94d049bb133111eb) & _MASK
        words.append((mixed ^ (mixed >> 31)).to_bytes(8, "little"))
    return b"".join(words)


def crowd(bench, verb, count, size, host=None, timeout=300):
    """Run that many clients at once to their end; what each said."""
    result = bench.run(host or bench.client, [
        str(bench.programs / "many-clients"), verb, bench.server.address, "18515", str(count), str(size), "4",
        str(64 * KIB)], timeout)
    equal(result.code, 0, "the exit code of many-clients")
    found = objects(result.stdout)
    equal(len(found), count, "the number of clients")
    return found


def complete(found):
    """All clients have come to a good end."""
    errors = [each["error"] for each in found if each["error"]]
    check(not errors, f"{len(errors)} of {len(found)} clients failed: {errors[:2]}")


def shares(found):
    """What each had moved when the first was done, as a part of the mean."""
    moved = [each["whenFirstWasDone"] for each in found]
    mean = sum(moved) / len(moved)
    return min(moved) / mean, max(moved) / mean


@test(PAIR)
def several(bench):
    """Clients write and read at once, each its own range, beside one that trickles and one that says nothing."""
    size, count = 2 * MIB, 6
    bench.fill(0, 32 * MIB, seed=801)
    with bench.serve(*SMALL, "--timeout", 8) as server:
        in_order(server.said(), r"4 slots of 64 KiB in p2pmem of \S+ for each of 64 clients at once")
        hostile = [bench.start(bench.client, [bench.hostile, mode, bench.server.address, "18515", "1"])
                   for mode in ("trickle", "get-silent")]
        complete(crowd(bench, "put", count, size))
        for index in range(count):
            same_bytes(bench.drive(index * size, size), drawn(index, size), f"the range of client {index}")
        complete(crowd(bench, "get", count, size))
        trickle, silent = [process.wait(60) for process in hostile]
        in_order(trickle.stdout, "immediate 4 24 64", "disconnected")
        in_order(silent.stdout, "chunk 65536", "immediate 4 17 8", "disconnected")
        events = server.transfers(2 * count + 2)
        equal(sum(event["complete"] for event in events), 2 * count, "the number of complete transfers")
        in_order(server.said(), r"moved \d+ bytes/s over 8 s in which it was waited for, and 65536 is the least")
        in_order(server.said(), "no progress for 8 s")
        equal({event["origin"] for event in events if not event["complete"]}, {"client"}, "whose fault the others are")


@test(PAIR)
def one_range(bench):
    """What one client writes is nobody else's meanwhile, and is free again when it is gone."""
    small = bench.file("small", noise(1000, 83))
    with bench.serve() as server:
        first = begin(bench, "put", size=48 * MIB)
        number = pid(bench, bench.client)
        bench.must(bench.client, ["kill", "-STOP", number])
        words = ("--offset", BIG_AT + 4 * MIB)
        refused(bench.put(small, *words), "another client of .* is using a part of this range", "when it is done")
        refused(bench.get(bench.scratch / "none", 512, *words), "using a part of this range")
        server.waits_for("refused 10.77.0.1: another client is reading or writing a part of the same range")
        equal(bench.put(small, "--offset", 0).code, 0, "the exit code of a put beside it")
        bench.must(bench.client, ["kill", "-KILL", number])
        server.waits_for("failed: ", 40)
        equal(first.wait(20).code, 137, "the exit code of the killed client")
        equal(bench.put(small, *words).code, 0, "the exit code of a put into what it has left")


@test(PAIR)
def queue(bench):
    """Where no slots are left clients wait in order, hear their place, and are served or sent away in time."""
    small = bench.file("small", noise(1000, 84))
    with bench.serve("--clients", 1, "--queue", 2) as server:
        in_order(server.said(), "for one client at a time")
        first = begin(bench, "put", size=48 * MIB)
        number = pid(bench, bench.client)
        bench.must(bench.client, ["kill", "-STOP", number])
        refused(bench.put(small, "--wait", 0), "serving as many clients as it can", "try again later")
        put = [bench.program, "put", "--connect", bench.server.address, "--offset", "0", str(small)]
        second = bench.start(bench.client, put)
        second.wait_for("waiting for a turn at 10.77.0.2: place 1 of the queue", 30)
        # It hears every 10 s that it still waits.
        second.wait_for("place 1 of the queue, for up to 2[678][0-9] s more", 60)
        refused(bench.put(small), "another client of .* is using a part of this range")
        late = bench.start(bench.client, [*put[:5], str(MIB), str(small), "--wait", "4"])
        late.wait_for("place 2 of the queue, for up to [34] s more", 30)
        refused(late.wait(30), "turn at .* has not come in 4 s", "wait for longer")
        server.waits_for("refused 10.77.0.1: its turn has not come in the time that it waits")
        check(second.running, "the second client has not waited")
        bench.must(bench.client, ["kill", "-CONT", number])
        equal(first.wait(120).code, 0, "the exit code of the first client")
        equal(second.wait(60).code, 0, "the exit code of the one that waited")
        same_bytes(bench.drive(0, 1000), small.read_bytes(), "the file of the one that waited")


@test(LOOP)
def sixty_four(bench):
    """64 clients at once, with a trickler and one that confirms nothing beside them: all served, none below half its
    fair share, and all together as fast as one."""
    sixty_four_over(bench, "host", 0.9, "trickle", "get-silent")


@test(LOOP)
def sixty_four_in_peer_memory(bench):
    """64 clients with slots in p2pmem, 16.5 MiB of the 64 MiB that the drive has: all served, each its share.

    How fast they are together is printed, and not judged: they cost no more instructions of the guest than over host
    memory, but QEMU takes what a processor writes into p2pmem in calls for 8 bytes, one processor at a time.
    """
    free = bench.free_p2pmem()
    sixty_four_over(bench, "p2pmem", 0)
    equal(bench.free_p2pmem(), free, "the free p2pmem afterwards")


def sixty_four_over(bench, memory, least, *hostile):
    """64 clients with slots in that memory, beside hostile ones; together at least so many times as fast as one."""
    count, size = 64, MIB
    with bench.serve(*SMALL, "--memory", memory, "--clients", 66, "--timeout", 30) as server:
        in_order(server.said(), "4 slots of 64 KiB in .* for each of 66 clients at once")
        equal(server.pool, 66 * 4 * 64 * KIB, "the size of all slots")
        seen = []
        # Other machines may take the processors away for a while.
        while len(seen) < 3 and not any(rate >= least and part >= 0.5 for rate, part in seen):
            alone = crowd(bench, "put", 1, count * size)
            complete(alone)
            for mode in hostile:
                bench.start(bench.client, [bench.hostile, mode, bench.server.address, "18515", "1"])
            together = crowd(bench, "put", count, size)
            complete(together)
            one, all_of_them = alone[0]["seconds"], max(each["seconds"] for each in together)
            seen.append((one / all_of_them, shares(together)[0]))
            print(f"64 clients, {memory}: {all_of_them:.2f} s, one: {one:.2f} s; shares from "
                  f"{shares(together)[0]:.2f} to {shares(together)[1]:.2f} of the mean")
        check(any(rate >= least and part >= 0.5 for rate, part in seen),
              f"as fast as one times, and the least part of a fair share: {seen}")
        for index in range(count):
            same_bytes(bench.drive(index * size, size), drawn(index, size), f"the range of client {index}")
        complete(crowd(bench, "get", count, size))
        for sentence in ("bytes/s over 30 s in which it was waited for", "no progress for 30 s")[:len(hostile)]:
            server.waits_for(sentence, 90)
        check(not re.search("failed: (?!the client (moved|made no progress))", server.said()), "another client failed")
