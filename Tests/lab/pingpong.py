# SPDX-License-Identifier: Apache-2.0
"""ping-pong beside the programs whose protocols it speaks, of today's Debian and of an older one."""
import contextlib
import re

from peerlab import legacy_debian

from checks import check, equal, objects, same_bytes
from pictures import drawn
from pingpong_ends import PingPong, SIZES
from registry import LOOP, test

MIB = 1 << 20

# How many messages, and what keeps two programs on one machine from starving each other.
COUNT = 40
QUICK = ("--events", "--iterations", COUNT)
THEIRS = ("-e", "-g", "1", "-n", str(COUNT))


def figures(result, size, what="send", **more):
    """Check the JSON of one run, and return it."""
    equal(result.code, 0, "the exit code of ping-pong")
    found = objects(result.stdout)
    equal(len(found), 1, "the number of runs that were told of")
    expected = {"what": what, "bytes": size, **more}
    equal({key: found[0].get(key) for key in expected}, expected, "the run")
    times = found[0]["roundTripNanoseconds"]
    order = [times[key] for key in ("min", "p50", "p99", "p99.9", "max")]
    check(order == sorted(order) and order[0] > 0, f"the figures are not in order: {order}")
    check(found[0]["bytesPerSecond"] > 0, "there is no bandwidth")
    return found[0]


def as_client(bench, program, validates=True):
    """ping-pong as the client of an ibv_rc_pingpong."""
    pong = PingPong(bench)
    for size in SIZES:
        with pong.listening([*program, *THEIRS, "-s", str(size), "--chk"], 18515) as server:
            result = pong.client("--size", size, *QUICK, *["--validate"] * validates)
            figures(result, size, validated=validates, memory="host")
            said = server.wait(20)
            equal(said.code, 0, "the exit code of ibv_rc_pingpong")
            check(f"{COUNT} iters in" in said.stdout, "ibv_rc_pingpong did not come to its end")
            check("invalid data" not in said.stdout, "ibv_rc_pingpong found other bytes than its own")


def as_server(bench, program):
    """ping-pong as the server of an ibv_rc_pingpong."""
    pong = PingPong(bench)
    for size in SIZES:
        with pong.serve("--size", size, *QUICK, "--validate") as server:
            said = bench.run(bench.server, [*program, *THEIRS, "-s", str(size), bench.server.address])
            equal(said.code, 0, "the exit code of ibv_rc_pingpong")
            check(f"{COUNT} iters in" in said.stdout, "ibv_rc_pingpong did not come to its end")
            figures(server.wait(20), size, validated=True)


def ping_as_client(bench, program):
    """ping-pong --cm as the client of rping, a persistent one too."""
    pong = PingPong(bench)
    for size in (64, 65535):
        with pong.listening([*program, "-s", "-v", "-S", str(size)], None) as server:
            found = figures(pong.client("--cm", "--size", size, *QUICK, "--validate"), size, "ping")
            equal(found["iterations"], COUNT, "the pings")
            said = server.wait(20)
            check(f"rdma-ping-{COUNT - 1}: " in said.stdout, "rping did not see the last ping")
    with pong.listening([*program, "-s", "-P"], None):
        for _ in range(3):
            figures(pong.client("--cm", *QUICK, "--validate"), 64, "ping")


def ping_as_server(bench, program):
    """ping-pong --cm as the server of rping, a persistent one too."""
    pong = PingPong(bench)
    words = [*program, "-c", "-V", "-v", "-C", str(COUNT), "-a", bench.server.address]
    with pong.serve("--cm", "--events", "--validate") as server:
        said = bench.run(bench.server, [*words, "-S", "1000"])
        equal(said.code, 0, "the exit code of rping")
        check(f"rdma-ping-{COUNT - 1}: " in said.stdout, "rping did not come to its last ping")
        check(f"has gone after {COUNT} pings" in server.wait(20).stderr, "the server counted otherwise")
    with pong.serve("--cm", "--events", "--persistent") as server:
        clients = [bench.start(bench.server, words) for _ in range(3)]
        for client in clients:
            equal(client.wait(60).code, 0, "the exit code of one rping of three at once")
        equal(bench.run(bench.server, words).code, 0, "the exit code of a fourth rping")
        bench.settles(lambda: server.stderr().count(f"has gone after {COUNT} pings"), 4,
                      "the number of clients that were served")
        check(server.running, "the persistent server has ended")


@test(LOOP)
def client_of_ibv_rc_pingpong(bench):
    """A client of today's ibv_rc_pingpong, which checks what it gets."""
    as_client(bench, ["ibv_rc_pingpong"])


@test(LOOP)
def server_of_ibv_rc_pingpong(bench):
    """A server for today's ibv_rc_pingpong, every byte looked at."""
    as_server(bench, ["ibv_rc_pingpong"])


@test(LOOP)
def client_of_rping(bench):
    """A client of today's rping, one for one client and a persistent one."""
    ping_as_client(bench, ["rping"])


@test(LOOP)
def server_of_rping(bench):
    """A server for today's rping, for one client and for several at once."""
    ping_as_server(bench, ["rping"])


@contextlib.contextmanager
def legacy_programs(bench):
    """Programs of an older Debian with their own libraries: rdma-core 44."""
    root = legacy_debian.legacy_root()
    legacy_debian.prepare(bench.server, root)
    version = bench.must(bench.server, legacy_debian.command(root, ["dpkg-query", "-W", "libibverbs1"]))
    check(re.search(r"\t44\.", version), f"the older libibverbs is {version}")
    yield lambda name: legacy_debian.command(root, [name])


@test(LOOP)
def legacy_ibv_rc_pingpong(bench):
    """Client and server of the ibv_rc_pingpong of rdma-core 44."""
    with legacy_programs(bench) as program:
        as_client(bench, program("ibv_rc_pingpong"))
        as_server(bench, program("ibv_rc_pingpong"))


@test(LOOP)
def legacy_rping(bench):
    """Client and server of the rping of rdma-core 44."""
    with legacy_programs(bench) as program:
        ping_as_client(bench, program("rping"))
        ping_as_server(bench, program("rping"))


@test(LOOP)
def both_ends(bench):
    """Between two of ours: send, write and read, sizes in a sweep, polling, host memory."""
    pong = PingPong(bench)
    for operation in ("send", "write", "read"):
        with pong.serve("--size", "16K", "--events", "--validate") as server:
            result = pong.client("--sweep", "1:16K", "--operation", operation, *QUICK, "--validate",
                                 "--csv", bench.scratch / f"{operation}.csv",
                                 "--hgrm", bench.scratch / f"{operation}.hgrm")
            equal(result.code, 0, f"the exit code of the client, {operation}")
            equal([run["bytes"] for run in objects(result.stdout)], [1 << n for n in range(15)],
                  f"the sizes, {operation}")
            equal({run["what"] for run in objects(result.stdout)}, {operation}, "the operation")
            equal(server.wait(20).code, 0, f"the exit code of the server, {operation}")
        texts = drawn(bench.scratch / f"{operation}.csv", bench.scratch / f"{operation}.hgrm")
        for word in ("p99.9", "percentile", f"{operation}, 1 B", f"{operation}, 16 KiB"):
            check(word in texts, f"{word} is not in the picture: {texts}")
    with pong.serve("--iterations", COUNT):
        figures(pong.client("--iterations", COUNT, "--validate"), 4096, completions="polling")


@test(LOOP)
def persistent(bench):
    """A persistent server goes on after clients that end well and after those that do not."""
    pong = PingPong(bench)
    with pong.serve("--persistent", *QUICK) as server:
        figures(pong.client(*QUICK), 4096)
        pong.refused(pong.client("--size", "8K", *QUICK), "room for messages of 4096", "--size 8192")
        figures(pong.client(*QUICK, "--validate"), 4096)
        check(server.running, "the persistent server has ended")
        check("error: the client asks for" in server.stderr(), "the server does not tell of the refusal")
        server.wait_for(r"(?s)(waiting for a client.*){4}", 20)
        equal(server.stderr().count("waiting for a client"), 4, "how often it waited for a client")


@test(LOOP)
def peer_memory(bench):
    """p2pmem at one end and at the other: between two of ours, and beside ibv_rc_pingpong and rping."""
    pong = PingPong(bench)
    memory = ("--memory", f"p2pmem:{bench.server.bdf('nvme0')}")
    for here, there in ((memory, ()), ((), memory), (memory, memory)):
        with pong.serve("--size", "9000", *QUICK, "--validate", *there) as server:
            found = figures(pong.client("--size", "9000", *QUICK, "--validate", *here), 9000)
            equal(found["memory"], "p2pmem" if here else "host", "the client's memory")
            equal(server.wait(20).code, 0, "the exit code of the server")
    theirs = [*THEIRS, "-m", "4096", "-s", "9000"]
    with pong.listening(["ibv_rc_pingpong", *theirs], 18515):
        figures(pong.client("--size", "9000", *QUICK, "--validate", *memory), 9000, memory="p2pmem")
    with pong.serve("--size", "9000", *QUICK, "--validate", *memory):
        said = bench.run(bench.server, ["ibv_rc_pingpong", *theirs, bench.server.address])
        equal(said.code, 0, "the exit code of ibv_rc_pingpong")
    with pong.listening(["rping", "-s", "-S", "9000"], None):
        figures(pong.client("--cm", "--size", "9000", *QUICK, "--validate", *memory), 9000, "ping",
                memory="p2pmem")
    with pong.serve("--cm", "--events", "--validate", *memory):
        words = ["rping", "-c", "-V", "-C", str(COUNT), "-S", "9000", "-a", bench.server.address]
        equal(bench.run(bench.server, words).code, 0, "the exit code of rping")


def pattern(message, count):
    """The bytes of a message, as ping-pong writes them with --validate."""
    mixed = ((i * 0x9e3779b1 + message * 0x85ebca6b & 0xffffffff) >> 24 for i in range(count))
    return bytes(0 if i % 4096 == 0 and count > 1 else byte for i, byte in enumerate(mixed))


@test(LOOP)
def through_the_drive(bench):
    """The pong comes from the drive, by the block device and by NVMe commands, and stands on it."""
    pong = PingPong(bench)
    bench.later(bench.bare_drive)
    own, host = (), ("--memory", "host")
    for words in (own, ("--passthrough",), host, (*host, "--passthrough")):
        # QEMU's drive takes its own memory by passthrough in one page only; see below.
        for size in (4096, 4096 - 100 if words == ("--passthrough",) else 9000):
            step = (size + 511) // 512 * 512
            before = bench.fill(MIB, COUNT * step + 4096, seed=size)
            drive = ("--nvme", "/dev/nvme0n1", "--drive-range", "1M:4M", *words)
            with pong.serve("--size", size, *QUICK, *drive) as server:
                found = figures(pong.client("--size", size, *QUICK, "--validate"), size)
                said = server.wait(20)
                equal(said.code, 0, "the exit code of the server")
                equal([leg["what"] for leg in objects(said.stdout)],
                      ["NIC to memory", "to drive", "from drive", "memory to NIC"], "the legs")
                equal({leg["memory"] for leg in objects(said.stdout)},
                      {"host" if "host" in words else "p2pmem"}, "the memory")
                check(found["validated"], "the client did not look at the bytes")
            for message in range(COUNT):
                same_bytes(bench.drive(MIB + message * step, size), pattern(message, size),
                           f"message {message} of {size} bytes on the drive")
            same_bytes(bench.drive(MIB + COUNT * step, 4096), before[-4096:], "what is behind the last message")
    with pong.serve("--size", 9000, *QUICK, "--nvme", "/dev/nvme0n1", "--drive-range", "1M:4M",
                    "--passthrough") as server:
        equal(pong.client("--size", 9000, *QUICK).code, 1, "the exit code of the client")
        pong.refused(server.wait(20), "answers write with NVMe status 0x12", "--size 4096 or less")
