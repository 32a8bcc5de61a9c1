# SPDX-License-Identifier: Apache-2.0
"""What cannot be done is refused: a sentence with cause and remedy, exit code 1, nothing lost."""
import re
import subprocess

from checks import check, equal, in_order, noise, refused, same_bytes
from registry import PAIR, test
from transfers import mtu

MIB = 1 << 20
# As a user without the right to lock memory has it.
SMALL_LOCK = ["prlimit", "--memlock=65536", "setpriv", "--bounding-set", "-ipc_lock",
              "--inh-caps", "-ipc_lock"]


@test(PAIR)
def small_cmb(bench):
    """More slots than the CMB has room for: told how much there is, and no host memory is taken."""
    free = bench.free_p2pmem()
    refused(bench.refused_server("--slots", 8, "--slot-size", "16M"),
            "does not have 128 MiB of p2pmem", "it has 64 MiB",
            r"6[34](\.\d)? MiB are free", "ask for less.*larger controller memory buffer")
    equal(bench.free_p2pmem(), free, "the free p2pmem after the refusal")


@test(PAIR)
def range_past_the_drive(bench):
    """A range of the server that the drive does not have, or that is not of whole blocks."""
    past, blocks = "past the end of /dev/nvme0n1.*268435456", "whole blocks.*multiples of 512"
    for options, words in ((("--offset", "256M"), past), (("--offset", "1T"), past),
                           (("--length", "257M"), past),
                           (("--offset", "255M", "--length", "2M"), past),
                           (("--offset", "512", "--length", 9223372036854775296), past),
                           (("--offset", 100), blocks), (("--length", 1000), blocks),
                           (("--length", 0), "no bytes.*at least one block")):
        refused(bench.refused_server(*options), words)


@test(PAIR)
def transfer_past_the_range(bench):
    """A client that asks for more than is offered, or begins inside a block, changes nothing."""
    path = bench.file("small", noise(5000, 101))
    before = bench.fill(0, 4 * MIB, seed=102)
    past = ("past the end of what 10.77.0.2:18515 offers", "1048576 bytes", "smaller offset")
    with bench.serve("--offset", "1M", "--length", "1M") as server:
        for offset in (MIB, MIB - 4096, 1 << 40, (1 << 63) - 512):
            refused(bench.put(path, "--offset", offset), *past)
            refused(bench.get(bench.scratch / "none", 5000, "--offset", offset), *past)
        refused(bench.get(bench.scratch / "none", MIB + 1), *past)
        for offset in (1, 511, 5000):
            refused(bench.put(path, "--offset", offset), "beginning of a block", "multiple of 512")
        refused(bench.get(bench.scratch / "none", 0), "nothing to move|at least one byte")
        check("refused 10.77.0.1: " in server.said(), "the server tells nothing of what it refused")
        equal(server.process.stdout(), "", "what the server told of transfers")
        same_bytes(bench.drive(0, 4 * MIB), before, "the drive after the refusals")


@test(PAIR)
def files_of_the_client(bench):
    """A file that is missing, empty, a directory or a pipe, or cannot be made."""
    empty = bench.file("empty", b"")
    with bench.serve() as server:
        refused(bench.put(bench.scratch / "absent"), "absent cannot be opened", "errno 2",
                "name a file")
        refused(bench.put(empty), "is empty", "name a file with something in it")
        refused(bench.put(bench.scratch), "directory", "name a")
        bench.must(bench.client, ["mkfifo", "/tmp/pipe"])
        pipe = bench.run(bench.client, f"sleep 5 > /tmp/pipe & exec {bench.program} put "
                         f"--connect {bench.server.address} /tmp/pipe")
        refused(pipe, "/tmp/pipe is no file with a size", "name a regular file")
        refused(bench.get("/nowhere/file", 512), '"/nowhere/file" cannot be written',
                "may write to")
        equal(server.process.stdout(), "", "what the server told of transfers")


@test(PAIR)
def old_file_stays(bench):
    """A get that is refused, or ends early, does not take away the file that was there before."""
    old = noise(3000, 111)
    path = bench.file("old", old)
    refused(bench.get(path, 4096), "nothing listens")
    same_bytes(path.read_bytes(), old, "the file after a get without a server")
    with bench.serve("--length", "1M"):
        refused(bench.get(path, 2 * MIB), "past the end")
        same_bytes(path.read_bytes(), old, "the file after a get that was refused")


@test(PAIR)
def port_in_use(bench):
    """A second server on the same port is refused, and the first goes on."""
    path = bench.file("port", noise(5000, 121))
    with bench.serve("--memory", "host"):
        # With --overwrite the drive, which the first has for itself, is no reason.
        refused(bench.refused_server("--overwrite"), "port 18515 of 10.77.0.2 is in use", "--port")
        equal(bench.put(path).code, 0, "the exit code of put to the first server")


@test(PAIR)
def drive_in_use(bench):
    """A second server does not get the drive of the first."""
    with bench.serve():
        refused(bench.refused_server("--port", 18516), "/dev/nvme0n1 is in use", "lsblk")


@test(PAIR)
def other_port(bench):
    """--port works on both sides; at another port nothing listens, and the client says so."""
    path = bench.file("port", noise(5000, 131))
    with bench.serve("--port", 4000):
        equal(bench.put(path, port=4000).code, 0, "the exit code of put to port 4000")
        refused(bench.put(path), "nothing listens on 10.77.0.2:18515", "start the server there")


@test(PAIR)
def address_without_rdma(bench):
    """An address of an interface without RDMA, or of none, is told from one that has it."""
    bench.must(bench.server, "ip link add dummy0 type dummy && ip link set dummy0 up"
               " && ip addr add 192.0.2.1/24 dev dummy0")
    bench.later(lambda: bench.server.run("ip link del dummy0", check=True))
    for address in ("192.0.2.1", "198.51.100.1", "2001:db8::1", "0.0.0.0"):
        words = bench.serving()
        words[words.index("--listen") + 1] = address
        refused(bench.run(bench.server, words), f"{address} is no address to listen on",
                r"\(rxe0\)", "rdma link show")


@test(PAIR)
def nobody_there(bench):
    """A server that is not running, and a host that does not exist."""
    path = bench.file("nobody", noise(5000, 141))
    refused(bench.put(path), "nothing listens on 10.77.0.2:18515", "start the server there")
    gone = bench.run(bench.client, [bench.program, "put", "--connect", "10.77.0.99", path], 60)
    refused(gone, "10.77.0.99 cannot be reached", "ping")


@test(PAIR)
def client_not_allowed(bench):
    """Without --allow, or with other addresses, another host is refused and the drive untouched."""
    path = bench.file("stranger", noise(5000, 151))
    before = bench.fill(0, 65536, seed=152)
    for allow in ("", "10.77.0.3", "10.78.0.0/16"):
        with bench.serve(allow=allow) as server:
            refused(bench.put(path), "does not serve this client's address", "--allow")
            in_order(server.said(), r"refused 10\.77\.0\.1: its address is not one of those")
            equal(server.process.stdout(), "", "what the server told of transfers")
    same_bytes(bench.drive(0, 65536), before, "the drive after the refusals")


@test(PAIR)
def what_a_client_may_use(bench):
    """A client's range, reading alone, and --read-only: the offset counts in its own range, and no byte beyond moves."""
    path = bench.file("own", noise(8192, 153))
    before = bench.fill(0, MIB, seed=154)
    client = bench.client.address
    with bench.serve(allow=f"{client}=64K:8K"):
        refused(bench.put(path, "--offset", 512), "past the end", "8192 bytes")
        equal(bench.put(path).code, 0, "the exit code of put into the client's own range")
    same_bytes(bench.drive(65536, 8192), path.read_bytes(), "the file in the client's range")
    same_bytes(bench.drive(0, 65536) + bench.drive(65536 + 8192, 65536),
               before[:65536] + before[65536 + 8192:][:65536], "the drive around the client's range")
    back = bench.scratch / "own-back"
    for options, allow in ((("--read-only",), client), ((), f"{client}=64K:8K:ro"), ((), f"{client}=ro")):
        with bench.serve(*options, allow=allow) as server:
            refused(bench.put(path), "for reading only", "allow this client to write")
            in_order(server.said(), "it wants to write, and may only read")
            offset = 0 if "64K" in allow else 65536
            equal(bench.get(back, 8192, "--offset", offset).code, 0, "the exit code of get")
            same_bytes(back.read_bytes(), path.read_bytes(), "what was read")
    refused(bench.run(bench.server, bench.serving("--length", "1M", allow=f"{client}=1M:4K"), 30),
            "not of whole blocks within the 1048576 bytes")


@test(PAIR)
def ping_pong_is_for_listed_hosts(bench):
    """ping-pong with a drive serves its own host and those of --allow, by TCP address and GID; others do not end it."""
    words = ("--nvme", "/dev/nvme0n1", "--drive-range", "1M:1M", "--events", "--iterations", 5)
    before = bench.fill(0, 2 * MIB, seed=155)

    def pong(host, *options):
        return bench.start(host, [str(word) for word in (bench.pong, *options)])

    def client(*options):
        return pong(bench.client, "--events", "--iterations", 5, *options, bench.server.address).wait(60)

    def address(gid, end="exit"):
        text = f"0000:000011:000005:00000000000000000000ffff{gid}"
        bench.must(bench.client, ["bash", "-c", f"exec 3<>/dev/tcp/{bench.server.address}/18515; "
                                  f"printf '{text}\\0' >&3; head -c 14 <&3 >&2; {end}"])
    server = pong(bench.server, *words)
    server.wait_for("waiting for a client", 60)
    refused_by = client()
    equal(refused_by.code, 1, "the exit code of a client that is not listed")
    in_order(refused_by.stderr, "does not serve this client", "--allow")
    in_order(server.stderr(), r"refused 10\.77\.0\.1: its address is not one of those")
    address("0a4d0002")
    server.wait_for(r"refused 10\.77\.0\.1: .*not the one that its path leads to \(10\.77\.0\.2\)", 20)
    check(server.running, "the server has ended after it refused clients")
    server.signal("KILL")
    server.wait(20)
    same_bytes(bench.drive(0, 2 * MIB), before, "the drive after the refusals")
    server = pong(bench.server, *words, "--allow", bench.client.address)
    server.wait_for("waiting for a client", 60)
    address("0a4d0009")
    server.wait_for(r"refused .*not the one that its path leads to \(10\.77\.0\.9\)", 20)
    equal(client().code, 0, "the exit code of a client that is listed")
    equal(server.wait(20).code, 0, "the exit code of the server")


@test(PAIR)
def wrong_arguments(bench):
    """Wrong words on the command line: exit code 64, and a sentence that names the option."""
    serve, put = "serve --listen 10.77.0.2 --nvme /dev/nvme0n1", "put --connect 10.77.0.2"
    cases = [("serve", "--listen"), ("fly", "fly"), ("put file", "--connect"), (put, "<file>"),
             ("get --connect 10.77.0.2", "--length"), (f"{put} a b", "b"),
             ("serve --listen beta --nvme /dev/nvme0n1", "--listen"),
             ("put --connect beta file", "--connect"), (f"{put} --bind me file", "--bind")]
    cases += [(f"{serve} {words}", expected) for words, expected in (
        ("--slots 0", "--slots"), ("--slots 4097", "--slots"), ("--slots many", "many"),
        ("--slot-size 1000", "--slot-size"), ("--slot-size 0", "--slot-size"),
        ("--slot-size 2G", "--slot-size"), ("--offset -1", "offset"), ("--length 12Q", "length"),
        ("--memory gold", "gold"), ("--allow everyone", "--allow"),
        ("--allow 10.0.0.0/33", "--allow"), ("--allow 10.0.0.0/", "--allow"),
        ("--allow 10.0.0.1=0", "OFFSET:LENGTH"), ("--allow 10.0.0.1 --allow 10.0.0.1=ro", "only once"),
        ("--provider x", "--provider"), ("--timeout 0", "--timeout"), ("--port 70000", "70000"))]
    for words, expected in cases:
        # Such words are refused before a device is looked for: no machine is needed.
        answer = subprocess.run([bench.program, *words.split()], capture_output=True, text=True,
                                check=False, timeout=30)
        equal(answer.returncode, 64, f"the exit code of: {words}")
        check(re.match("Error: .{15}", answer.stderr) and expected in answer.stderr
              and "Usage:" in answer.stderr,
              f"{words}: {expected!r}, 'Error:' or 'Usage:' is not in: {answer.stderr}")


@test(PAIR)
def memory_lock_limit(bench):
    """RLIMIT_MEMLOCK too small: server and client name it, its value, and how to raise it."""
    path = bench.file("locked", noise(5000, 161))
    words = ("256 KiB|2 MiB", "RLIMIT_MEMLOCK is 64 KiB", "ulimit -l", "CAP_IPC_LOCK")
    locked = [*SMALL_LOCK, bench.program]
    refused(bench.refused_server("--memory", "host", program=locked), *words)
    with bench.serve("--memory", "host"):
        refused(bench.put(path, program=locked), *words)
        equal(bench.put(path).code, 0, "the exit code of put with the right")
    # On-demand memory is not locked: p2pmem is to be had all the same.
    with bench.serve(program=locked):
        equal(bench.put(path).code, 0, "the exit code of put to a server that locks nothing")


@test(PAIR)
def small_packets(bench):
    """At MTU 1500 on-demand memory would be corrupted: both ends say so, and nothing is written."""
    path = bench.file("packets", noise(50_000, 171))
    before = bench.fill(0, MIB, seed=172)
    mtu(bench, 1500)
    with bench.serve() as server:
        free = bench.free_p2pmem()
        refused(bench.put(path), "path MTU to 10.77.0.2:18515 is 1024 bytes", "only at 4096",
                "corrupt", "mtu 4200.*host memory")
        server.waits_for("failed: the path MTU is 1024 bytes.*mtu 4200")
        refused(bench.get(bench.scratch / "packets-back", 4096), "path MTU .* is 1024 bytes")
        events = server.transfers(2)
        equal([event["complete"] for event in events], [False, False], "'complete' of both")
        same_bytes(bench.drive(0, MIB), before, "the drive after the refusals")
        equal(bench.free_p2pmem(), free, "the free p2pmem after the refusals")
        for host in bench.hosts:
            bench.must(host, "ip link set eth0 mtu 4200")
        equal(bench.put(path).code, 0, "the exit code of put at MTU 4200")


@test(PAIR)
def small_packets_at_one_end(bench):
    """One small MTU is enough to be refused, whichever host has it."""
    path = bench.file("packets", noise(50_000, 181))
    before = bench.fill(0, MIB, seed=182)
    for host in bench.hosts:
        mtu(bench, 4200)
        bench.must(host, "ip link set eth0 mtu 1500")
        with bench.serve() as server:
            refused(bench.put(path), "path MTU to 10.77.0.2:18515 is 1024 bytes", "mtu 4200")
            server.waits_for("failed: .*MTU.* 1024 bytes")
        same_bytes(bench.drive(0, MIB), before, f"the drive, with a small MTU at {host.name}")
