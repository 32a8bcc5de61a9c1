# SPDX-License-Identifier: Apache-2.0
"""What ping-pong says to bad peers, bad words and memory that will not do; and that it leaves nothing behind."""
import contextlib

from checks import check, equal
from pingpong_ends import PingPong
from registry import LOOP, test

QUICK = ("--events", "--iterations", 20)

# A peer that is no RDMA program at all: it connects or listens, says what it is told to, and stays or closes.
_PEER = """
import socket, sys, time
role, port, said, after = sys.argv[1], int(sys.argv[2]), eval(sys.argv[3]), sys.argv[4]
if role == "server":
    listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", port)); listener.listen(1); print("listens", flush=True)
    peer = listener.accept()[0]; peer.recv(52)
else:
    peer = socket.create_connection(("127.0.0.1", port))
peer.sendall(said)
if after == "closes": peer.close()
else: time.sleep(30)
"""

NONSENSE = {
    "b'GET / HTTP/1.1\\r\\nHost: 10.77.0.1:18515\\r\\nAccept: text/html'": "no address that a queue pair has: 'GET",
    "b'0000:000011:000000:0000000000000000000000000a4d0001'": "told 51 bytes instead of an address of 52",
    "b''": "closed the connection before it told its address",
    "bytes(range(52))": "told no address",
    "b'0000:000011:000000:' + b'0' * 32 + bytes(1)": "neither a LID nor a GID",
}


def peer(bench, role, said, after):
    """Start a peer that speaks by itself."""
    script = bench.file("peer.py", _PEER.encode())
    return bench.start(bench.server, ["python3", str(script), role, "18515", said, after])


@contextlib.contextmanager
def nothing_left(pong):
    """What the device holds afterwards is what it held before."""
    before = pong.held()
    yield
    pong.bench.settles(pong.held, before, "what the RDMA device holds")


@test(LOOP)
def nonsense_as_client(bench):
    """A client that is no ping-pong: the server says what it got, and ends with code 1."""
    pong = PingPong(bench)
    for said, words in NONSENSE.items():
        with nothing_left(pong), pong.serve(*QUICK) as server:
            peer(bench, "client", said, "closes")
            pong.refused(server.wait(30), words)


@test(LOOP)
def nonsense_as_server(bench):
    """A server that is no ping-pong: the client says what it got, and ends with code 1."""
    pong = PingPong(bench)
    for said, words in NONSENSE.items():
        with nothing_left(pong):
            peer(bench, "server", said, "closes").wait_for("listens", 60)
            pong.refused(pong.client(*QUICK), words)


@test(LOOP)
def silent_peers(bench):
    """Peers that say nothing are given up: before the address, before the end of the exchange, and after it."""
    pong = PingPong(bench)
    address = "b'0000:ffffff:000000:00000000000000000000ffff0a4d0001' + bytes(1)"
    for said, words in (("b''", "says nothing"), (address, "(says nothing|is gone)")):
        with nothing_left(pong):
            peer(bench, "server", said, "stays").wait_for("listens", 60)
            pong.refused(pong.client(*QUICK, "--timeout", 3), words)
        bench.tidy()
        with nothing_left(pong), pong.serve(*QUICK, "--timeout", 3) as server:
            peer(bench, "client", said, "stays")
            pong.refused(server.wait(30), "says nothing")
        bench.tidy()
    # The peer's queue pair is there, and nobody behind it sends.
    with nothing_left(pong), pong.serve("-e", "-n", 1_000_000, "--timeout", 3) as server:
        client = bench.start(bench.server, ["ibv_rc_pingpong", "-g", "1", "-e", "-n", "1000000", "127.0.0.1"])
        bench.settles(lambda: "there: queue pair" in server.stderr(), True, "whether the two have met")
        client.signal("STOP")
        pong.refused(server.wait(60), "(nothing any more|is gone|not agreed)")
        client.signal("KILL")


@test(LOOP)
def peer_dies(bench):
    """A peer that is killed in the middle: both programs of ours notice, as client and as server."""
    pong = PingPong(bench)
    long = ("--events", "--iterations", 1_000_000)
    for victim in ("server", "client"):
        with nothing_left(pong), pong.serve(*long) as server:
            client = bench.start(bench.server, [str(word) for word in (
                pong.program, *long, bench.server.address)])
            client.wait_for("there: queue pair", 60)
            dead, other = (server, client) if victim == "server" else (client, server)
            dead.signal("KILL")
            pong.refused(other.wait(60), "(closed the connection|is gone)")
    with nothing_left(pong), pong.serve("--cm", "--events", "--persistent") as server:
        client = bench.start(bench.server, ["rping", "-c", "-a", bench.server.address])
        server.wait_for("serving ", 60)
        client.signal("KILL")
        server.wait_for("has gone after", 60)
        check(server.running, "the persistent server has ended with its client")


@test(LOOP)
def other_sizes(bench):
    """A peer that sends another size than agreed, longer and shorter."""
    pong = PingPong(bench)
    for size in ("2048", "8192"):
        with nothing_left(pong), pong.serve("--size", "4096", *QUICK) as server:
            client = bench.start(bench.server, ["ibv_rc_pingpong", "-g", "1", "-n", "20", "-s", size,
                                                bench.server.address])
            pong.refused(server.wait(30), "(not agreed|do not agree)", "same --size")
            client.signal("KILL")
    with nothing_left(pong), pong.listening(["ibv_rc_pingpong", "-g", "1", "-e", "-s", "4096"], 18515):
        pong.refused(pong.client("--size", "8192", *QUICK), "(not agreed|do not agree|is gone)")
    with nothing_left(pong), pong.listening(["ibv_rc_pingpong", "-g", "1", "-e"], 18515):
        pong.refused(pong.client("--sweep", "64:4K", *QUICK), "is ibv_rc_pingpong", "run ping-pong there")


@test(LOOP)
def places_that_are_not_there(bench):
    """Ports in use, nobody at the other end, unknown hosts, devices, ports and GIDs."""
    pong = PingPong(bench)
    with nothing_left(pong):
        with pong.serve(*QUICK):
            pong.refused(pong.run(*QUICK), "port 18515 is taken", "--port")
        with pong.serve("--cm"):
            pong.refused(pong.run("--cm"), "port 7174 .*is in use", "--port")
        pong.refused(pong.client(*QUICK), "nothing listens on port 18515", "start the server")
        pong.refused(pong.client("--cm"), "refuses the connection|cannot be made", "--port")
        pong.refused(pong.client(*QUICK, host="no-such-host"), "there is no host no-such-host", "getent")
        pong.refused(pong.client("--cm", host="no-such-host"), "there is no host no-such-host", "getent")
        pong.refused(pong.client("--device", "mlx5_9"), "no RDMA device mlx5_9: there are rxe0", "name one")
        pong.refused(pong.client("--device-port", 2), "rxe0 has no port 2: it has 1", "--device-port")
        pong.refused(pong.run("--bind", "10.99.0.1", *QUICK), "cannot be listened on", "ip addr")
        pong.refused(pong.run("--cm", "--bind", "10.99.0.1"), "no address to listen on", "rdma link show")
        with pong.serve("--gid-index", 1):
            pong.refused(pong.client("--gid-index", 77), "GID index 77 of rxe0 holds no address",
                         r"--gid-index that does: .*::ffff:10.77.0.1")


@test(LOOP)
def memory_that_will_not_do(bench):
    """Memory that is not there or cannot be used, sizes above limits, and an MTU that the port cannot send."""
    pong = PingPong(bench)
    function = bench.server.bdf("nvme0")
    with nothing_left(pong):
        pong.refused(pong.client("--memory", "p2pmem:0000:00:00.0"), "publishes no p2pmem", "controller memory")
        pong.refused(pong.client("--memory", f"p2pmem:{function}", "--size", "512M"), "(no messages|not free|p2pmem)")
        pong.refused(pong.client("--size", "1G"), "(rxe0 has no messages of 1073741824 bytes|not to be had|cannot be mapped)")
        pong.refused(pong.client("--receive-depth", 65536), "rxe0 cannot create a (queue pair|completion queue)", "ask for less")
        with pong.serve(*QUICK):
            pong.refused(pong.client("--memory", f"p2pmem:{function}", "--mtu", 1024, *QUICK),
                         "path MTU is 1024 bytes", "ip link set")
        bench.later(lambda: bench.server.run("ip link set eth0 mtu 4200; ip link set eth1 mtu 4200"))
        bench.must(bench.server, "ip link set eth0 mtu 1500 && ip link set eth1 mtu 1500")
        with pong.serve(*QUICK):
            pong.refused(pong.client("--mtu", 4096), "packets of 4096 bytes do not fit through rxe0",
                         "ip link set IFNAME mtu")
        pong.refused(pong.client("--events", "--memory", f"p2pmem:{function}"), "(do not fit|nothing listens)")


@test(LOOP)
def interrupted(bench):
    """Ctrl-C in the middle, at either end: the other end notices, and nothing is left."""
    pong = PingPong(bench)
    long = ("--events", "--iterations", 1_000_000)
    for victim in ("server", "client"):
        with nothing_left(pong), pong.serve(*long) as server:
            client = bench.start(bench.server, [str(word) for word in (pong.program, *long, bench.server.address)])
            client.wait_for("there: queue pair", 60)
            stopped, other = (server, client) if victim == "server" else (client, server)
            stopped.signal("INT")
            equal(stopped.wait(20).code, 130, f"the exit code of the interrupted {victim}")
            pong.refused(other.wait(60), "(closed the connection|is gone)")


@test(LOOP)
def two_at_once(bench):
    """A second client at once is turned away by a server for one; a persistent one serves it when it is its turn."""
    pong = PingPong(bench)
    with nothing_left(pong), pong.serve(*QUICK) as server:
        waiting = peer(bench, "client", "b''", "stays")
        bench.settles(lambda: bench.run(bench.server, "ss -ltnH 'sport = :18515' | grep -q .").code, 1,
                      "the code of looking for a listener, once a client is there")
        pong.refused(pong.client(*QUICK), "nothing listens on port 18515", "start the server")
        waiting.signal("KILL")
        pong.refused(server.wait(30), "closed the connection before it told its address")
    with nothing_left(pong), pong.serve(*QUICK, "--persistent") as server:
        clients = [bench.start(bench.server, [str(word) for word in (
            pong.program, *QUICK, "--validate", bench.server.address)]) for _ in range(3)]
        for client in clients:
            equal(client.wait(60).code, 0, "the exit code of one client of three at once")


@test(LOOP)
def words_that_will_not_do(bench):
    """Sizes, counts and memory that cannot be: code 64, and what can. Files: before anything is measured."""
    pong = PingPong(bench)
    with nothing_left(pong):
        for words, said in ((("--size", "0"), "1 byte to 1G"), (("--size", "99T"), "1 byte to 1G"),
                            (("--iterations", "-1"), "between 1 and 10000000"),
                            (("--memory", "tape"), "write one of host, p2pmem:BDF"),
                            (("--memory", "p2pmem"), "write p2pmem:BDF"), (("--sweep", "8:4"), "smaller size first"),
                            (("--port", "0"), "between 1 and 65535"), (("--svg",), "Missing value")):
            result = pong.run(*words)
            equal(result.code, 64, f"the exit code with {words}")
            check(said in result.stderr, f"{words}: {result.stderr}")
        with pong.serve(*QUICK) as server:
            for path in ("/nowhere/table.csv", "/"):
                pong.refused(pong.client(*QUICK, "--csv", path), f'"{path}" cannot be written', "a directory")
                pong.refused(pong.run("--port", 18516, *QUICK, "--csv", path), "cannot be written", "a directory")
            pong.refused(pong.client(*QUICK, "--svg", "/tmp/picture.svg"), "gnuplot", "apt-get install gnuplot-nox")
            # The server has not even seen them; what fails later leaves no empty file.
            pong.refused(pong.client("--size", "8K", *QUICK, "--csv", "/tmp/left.csv"), "room for messages of 4096")
            check(bench.run(bench.server, "ls /tmp/left.csv*").code != 0, "there is an empty file")
            pong.refused(server.wait(30), "asks for 20 messages of 8192 bytes")


@test(LOOP)
def drives_that_will_not_do(bench):
    """--nvme keeps off what is in use or holds something, and off what is no namespace."""
    pong = PingPong(bench)
    bench.later(bench.bare_drive)
    bench.bare_drive()

    def serve(path, *words, where="0:16M"):
        return pong.run("--nvme", path, "--drive-range", where, *words, *QUICK)
    with nothing_left(pong):
        pong.refused(serve("/dev/nvme9n9"), "no drive at /dev/nvme9n9")
        pong.refused(serve("/dev/null"), "is no block device")
        pong.refused(serve("/dev/nvme0n1", where="1:4096"), "not of whole blocks")
        pong.refused(serve("/dev/nvme0n1", where="0:1T"), "past the end")
        bench.must(bench.server, "mkfs.ext4 -q /dev/nvme0n1 && sync")
        for words in ((), ("--passthrough",)):
            pong.refused(serve("/dev/nvme0n1", *words), "holds data of type ext4", "--overwrite")
        before = bench.drive(0, 1 << 20)
        bench.must(bench.server, "mount /dev/nvme0n1 /mnt")
        bench.later(lambda: bench.server.run("umount /mnt"))
        for words in ((), ("--passthrough",)):
            pong.refused(serve("/dev/nvme0n1", *words), "is in use", "unmount it")
        bench.must(bench.server, "umount /mnt")
        check(before[:1024] == bench.drive(0, 1024), "the drive was written to")
        bench.bare_drive()
        bench.must(bench.server, "blockdev --flushbufs /dev/nvme0n1; modprobe loop && "
                   "truncate -s 32M /tmp/file && losetup /dev/loop0 /tmp/file")
        bench.later(lambda: bench.server.run("losetup -d /dev/loop0"))
        pong.refused(serve("/dev/loop0", "--passthrough", "--memory", "host"), "no whole namespace", "/dev/nvme0n1")
        with pong.serve("--nvme", "/dev/nvme0n1", "--drive-range", "0:4096", "--size", "8K", *QUICK):
            result = pong.client("--size", "8K", *QUICK)
            equal(result.code, 1, "the exit code of the client whose messages do not fit the range")
        with pong.serve("--nvme", "/dev/nvme0n1", "--drive-range", "0:4096", *QUICK):
            pong.refused(pong.client("--operation", "read", *QUICK), "does not take part in read", "--nvme")
