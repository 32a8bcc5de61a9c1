# SPDX-License-Identifier: Apache-2.0
"""Files go through peer memory to the drive and back, whatever their size and place."""
from checks import check, equal, in_order, noise, objects, refused, same_bytes, sha256
from registry import PAIR, test
from roundtrip import check_event, check_outcome, round_trip

MIB = 1 << 20
SLOT = 256 << 10        # the default


@test(PAIR)
def sizes(bench):
    """Files of awkward sizes arrive whole, on the drive and back, and touch nothing around them."""
    with bench.serve() as server:
        in_order(server.said(), "8 slots of 256 KiB in p2pmem of 0000:", "onDemand because",
                 "software device: the CPU copies in the kernel",
                 "serving /dev/nvme0n1, bytes 0 to 268435456, on 10.77.0.2:18515 over rxe0")
        for size in (1, 511, 512, 513, 4096, 4097, SLOT - 1, SLOT, SLOT + 1, 3 * MIB + 1):
            round_trip(bench, server, size, offset=MIB)


@test(PAIR)
def slots(bench):
    """One slot or many, small or large, on one side or both: the smaller of the two is used."""
    many = ("--slots", 4096, "--slot-size", "4K")
    cases = [(("--slots", 1, "--slot-size", "4K"), (), 90_001),
             (("--slots", 3, "--slot-size", "64K"), ("--slots", 2, "--slot-size", "128K"), 700_000),
             ((), ("--slots", 64, "--slot-size", "12K"), 1_000_003),
             (("--slots", 16, "--slot-size", "1M"), ("--slots", 5, "--slot-size", "1M"), 6 * MIB),
             (many, many, 3 * MIB)]
    for serving, asking, size in cases:
        with bench.serve(*serving) as server:
            round_trip(bench, server, size, offset=4096, options=asking)


@test(PAIR)
def offsets(bench):
    """Two files at two offsets stand side by side; the drive's last block can be reached."""
    last = 256 * MIB - 512
    with bench.serve() as server:
        round_trip(bench, server, 70_000, offset=5 * MIB + 512)
        first = bench.drive(5 * MIB + 512, 70_000)
        round_trip(bench, server, 70_000, offset=6 * MIB)
        same_bytes(bench.drive(5 * MIB + 512, 70_000), first, "the file that was sent before")
        data = noise(512, 7)
        sent = bench.put(bench.file("last", data), "--offset", last)
        equal(sent.code, 0, "the exit code of put to the last block")
        same_bytes(bench.drive(last, 512), data, "the last block of the drive")


@test(PAIR)
def range_of_the_server(bench):
    """Offsets count from the server's range; its first and last byte can be written, no others."""
    with bench.serve("--offset", "8M", "--length", "1M") as server:
        check("bytes 8388608 to 9437184" in server.said(), "the server does not tell its range")
        round_trip(bench, server, 5000, offset=512 << 10, at=8 * MIB + (512 << 10))
        round_trip(bench, server, MIB, at=8 * MIB)
        before = bench.fill(7 * MIB, 3 * MIB, seed=11)
        path = bench.file("large", noise(MIB + 1, 12))
        refused(bench.put(path), "past the end", "1048576 bytes", "take less")
        same_bytes(bench.drive(7 * MIB, 3 * MIB), before, "the drive after the refusal")


@test(PAIR)
def host_memory(bench):
    """With --memory host the slots are pinned host memory, and nothing counts as peer to peer."""
    with bench.serve("--memory", "host") as server:
        in_order(server.said(), "8 slots of 256 KiB in host for each of 64 clients at once, pinned because")
        round_trip(bench, server, 2 * MIB + 333, way="bytesHost")


@test(PAIR)
def bounce(bench):
    """Where the CMB is too small, --allow-bounce goes on, says so, and counts every byte."""
    with bench.serve("--slots", 65, "--slot-size", "1M", "--allow-bounce") as server:
        in_order(server.said(), "bouncing through host memory: .*65 MiB of p2pmem",
                 r"it has 64 MiB, of which 6[34](\.\d)? MiB are free")
        round_trip(bench, server, MIB + 1, way="bytesBounced")


@test(PAIR)
def flush_of_peer_writes(bench):
    """With --flush-peer-writes always every arrival is made sure of by an RDMA READ."""
    with bench.serve("--flush-peer-writes", "always") as server:
        round_trip(bench, server, 3 * MIB + 5)
        round_trip(bench, server, 1)


@test(PAIR)
def small_packets_with_host_memory(bench):
    """At MTU 1500 host memory works: only on-demand memory needs whole pages in a packet."""
    mtu(bench, 1500)
    with bench.serve("--memory", "host") as server:
        round_trip(bench, server, MIB + 77, way="bytesHost")


def mtu(bench, value):
    """Set the MTU of both hosts for the time of the test."""
    for host in bench.hosts:
        bench.must(host, f"ip link set eth0 mtu {value}")
        bench.later(lambda host=host: host.run("ip link set eth0 mtu 4200", check=True))


@test(PAIR)
def once(bench):
    """With --once the server ends after one transfer, and its exit code is the transfer's."""
    data = noise(10_000, 21)
    path = bench.file("once", data)
    with bench.serve("--once", stops=False) as server:
        sent = bench.put(path, "--no-verify")
        equal(sent.code, 0, "the exit code of put")
        equal(objects(sent.stdout)[0]["verified"], None, "'verified' of a put with --no-verify")
        ended = server.process.wait(20)
    equal(ended.code, 0, "the exit code of the server after a transfer that went well")
    check_event(objects(ended.stdout)[0], "put", 10_000, "bytesPeerToPeer")
    same_bytes(bench.drive(0, 10_000), data, "the file on the drive")


@test(PAIR)
def same_host(bench):
    """A client on the server's own host is served without --allow."""
    data = noise(5555, 31)
    path = bench.file("own", data)
    with bench.serve(allow="") as server:
        sent = bench.put(path, "--bind", bench.server.address, host=bench.server)
        equal(sent.code, 0, "the exit code of put")
        check_outcome(sent, "put", data, "bytesPeerToPeer", verified=True)
        server.transfers(2)


@test(PAIR)
def ipv6(bench):
    """Over IPv6 addresses, allowed by a network of them."""
    for number, host in enumerate(bench.hosts, 1):
        bench.must(host, f"ip addr add fd77::{number}/64 dev eth0 nodad")
        bench.later(lambda host=host: host.run("ip -6 addr flush dev eth0 scope global"))
    data = noise(300_003, 35)
    words = bench.serving(allow="fd77::/64")
    words[words.index("--listen") + 1] = "fd77::2"
    server = bench.start(bench.server, words)
    server.wait_for(r"serving .* on \[fd77::2\]:18515", 60)
    sent = bench.run(bench.client, [bench.program, "put", "--connect", "fd77::2", "--json",
                                    bench.file("six", data)])
    equal(sent.code, 0, "the exit code of put")
    check_outcome(sent, "put", data, "bytesPeerToPeer", verified=True)
    same_bytes(bench.drive(0, len(data)), data, "the file on the drive")
    server.wait_for(r"put by fd77::1: 300003 bytes", 60)


@test(PAIR)
def allowed_network(bench):
    """--allow takes a network too, and may be repeated."""
    with bench.serve("--allow", "10.77.0.0/29", allow="192.0.2.7") as server:
        round_trip(bench, server, 4097)


@test(PAIR)
def digest(bench):
    """get compares with --sha256: equal is verified, other is exit code 1 and a sentence."""
    data = bench.fill(0, 9000, seed=41)
    with bench.serve():
        good = bench.get(bench.scratch / "digest", 9000, "--sha256", sha256(data).upper())
        equal(good.code, 0, "the exit code with the right digest")
        check_outcome(good, "get", data, "bytesPeerToPeer", verified=True)
        bad = bench.get(bench.scratch / "digest", 9000, "--sha256", "0" * 64)
        refused(bad, "others than expected", sha256(data), "instead of 0000", "--memory host")
        equal(objects(bad.stdout)[0]["verified"], False, "'verified' with the wrong digest")


@test(PAIR)
def sentences_for_people(bench):
    """Without --json the outcome is a sentence; --progress draws a bar that ends at 100 %."""
    path = bench.file("people", noise(2 * MIB, 51))
    with bench.serve():
        sent = bench.transfer("put", path, "--progress")
        equal(sent.code, 0, "the exit code of put")
        equal(sent.stdout, "", "standard output without --json")
        in_order(sent.stderr, r"put \[#+\.*\] \d+ %", r"put \[#{30}\] 100 %  2 MiB",
                 r"get \[#{30}\] 100 %", r"put 2097152 bytes in [\d.]+ s, .*/s, sha256 "
                 + sha256(path.read_bytes()) + ", verified")


@test(PAIR)
def committed(bench):
    """A put that was cut off is found out by its record, resumed, and then taken for complete."""
    count = 8 * MIB + 5001
    path = bench.file("committed", noise(count, 501))
    back = bench.scratch / "committed-back"
    bench.fill(0, 16 * MIB, seed=502)
    with bench.serve() as server:
        refused(bench.get(back, count, "--committed"), "no record behind", "--commit")
        client = bench.start(bench.client, [
            bench.program, "put", "--connect", bench.server.address, "--commit", "--progress", str(path)])
        client.wait_for(r"put .* [1-9]\d? %", 60)
        client.signal("KILL")
        client.wait(20)
        server.waits_for("put by .* failed", 40)
        refused(bench.get(back, count, "--committed"), "was cut off", "--resume")
        check(not back.exists(), "a get of a put that was cut off left a file")
        result = bench.put(path, "--resume", timeout=120)
        equal(result.code, 0, "the exit code of put --resume")
        in_order(result.stderr, "there is a put that was cut off", "says that it is complete")
        same_bytes(bench.drive(0, count), path.read_bytes(), "the resumed file on the drive")
        equal(bench.get(back, count, "--committed").code, 0, "the exit code of get --committed")
        same_bytes(back.read_bytes(), path.read_bytes(), "the file that came back")
        again = bench.put(path, "--resume", timeout=120)
        equal(again.code, 0, "the exit code of put --resume of what is complete")
        in_order(again.stderr, f"there is a put that was complete: {count} of {count} bytes")
    bench.fill(4096, 512, seed=503)
    with bench.serve():
        refused(bench.get(back, count, "--committed"), "other")
