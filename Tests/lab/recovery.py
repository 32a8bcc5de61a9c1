# SPDX-License-Identifier: Apache-2.0
"""Processes, cables and hosts that go away: told, freed, and the next client served."""
import contextlib
import time

from checks import check, equal, in_order, noise, refused, same_bytes
from registry import PAIR, test
from roundtrip import BIG_AT, begin, pid, round_trip

MIB = 1 << 20
FREED = "failed: .*; its slots and queue pair are free again"


@contextlib.contextmanager
def survives(bench, *options):
    """A server that outlives what happens in the block, has its slots back, and serves the next."""
    before = bench.fill(0, BIG_AT, seed=302)
    nothing = bench.held()
    with bench.serve(*options) as server:
        idle = bench.held()
        equal(idle["p2pmem"], nothing["p2pmem"] - server.pool, "the free p2pmem beside an idle server")
        yield server
        check(server.process.running, "the server has ended")
        bench.settles(bench.held, idle, "what is held afterwards")
        same_bytes(bench.drive(0, BIG_AT), before, "the drive before what was written")
        round_trip(bench, server, 300_007, offset=MIB)
    bench.settles(bench.held, nothing, "what is held without a server")


def failed(server, *words):
    """The server told of one failed transfer, in words and as JSON."""
    in_order(server.waits_for(FREED, 40).group(0), *words)
    event = server.transfers(1)[0]
    equal(event["complete"], False, "'complete' of the transfer")
    in_order(event["error"], *words)
    return event


def sentence(process, *patterns, code=1, seconds=40):
    """The client ended, with a sentence."""
    result = process.wait(seconds)
    return refused(result, *patterns, code=code)


@test(PAIR)
def client_killed(bench):
    """A client that is killed in the middle of put, and one in the middle of get."""
    for verb in ("put", "get"):
        with survives(bench) as server:
            client = begin(bench, verb)
            client.signal("KILL")
            failed(server, "client disconnected|connection failed", "let it send again|other side")
            equal(client.wait(10).code, 137, "the exit code of the killed client")


@test(PAIR)
def client_interrupted(bench):
    """Ctrl-C at the client in the middle of put: exit code 130, and the server is told."""
    with survives(bench) as server:
        client = begin(bench, "put")
        client.signal("INT")
        result = client.wait(20)
        equal(result.code, 130, "the exit code of the interrupted client")
        in_order(result.stderr, "stopped before the transfer was complete")
        failed(server, "client disconnected|other side", "send again|runs")


@test(PAIR)
def get_interrupted(bench):
    """Ctrl-C at the client in the middle of get: the file that was there before is still whole."""
    old = noise(70_000, 311)
    path = bench.file("old", old)
    with survives(bench) as server:
        client = begin(bench, "get", "--output", path)
        client.signal("INT")
        equal(client.wait(20).code, 130, "the exit code of the interrupted client")
        failed(server, "client disconnected|other side")
    same_bytes(path.read_bytes(), old, "the file that was there before")
    names = sorted(item.name for item in bench.scratch.iterdir() if item.name.startswith("old"))
    equal(names, ["old"], "the files of that name afterwards")


@test(PAIR)
def client_stopped(bench):
    """A client that lives but does nothing (SIGSTOP) is given up after --timeout."""
    with survives(bench, "--timeout", 5) as server:
        client = begin(bench, "put")
        number = pid(bench, bench.client)
        began = time.monotonic()
        bench.must(bench.client, ["kill", "-STOP", number])
        failed(server, "no progress for 5 s", "time limit")
        check(time.monotonic() - began > 4, "the server gave the client up before its time")
        bench.must(bench.client, ["kill", "-CONT", number])
        bench.settles(lambda: bench.run(bench.client, ["pgrep", "-x", "nic-to-nvme"]).code, 1,
                      "the code of pgrep for the client that goes on")
        in_order(client.stderr(), "error: .*waited 5 s for this client", "time limit")


@test(PAIR)
def cable_cut(bench):
    """The cable is pulled in the middle of put, and put in again: both ends say so in time."""
    bench.later(lambda: bench.client.set_link(True))
    with survives(bench) as server:
        client = begin(bench, "put")
        bench.client.set_link(False)
        began = time.monotonic()
        failed(server, "connection failed|no progress", "link is up|link")
        sentence(client, "connection failed|ended the connection", "link is up|printed")
        check(time.monotonic() - began < 30, "it took more than 30 s to find the cable cut")
        bench.client.set_link(True)


@test(PAIR)
def cable_cut_while_idle(bench):
    """A cable that was out between two transfers does not matter."""
    bench.later(lambda: bench.server.set_link(True))
    with bench.serve() as server:
        bench.server.set_link(False)
        time.sleep(1)
        bench.server.set_link(True)
        round_trip(bench, server, 100_001)


@test(PAIR)
def server_killed(bench):
    """The server is killed in the middle of put: the client says so within seconds, and ends."""
    nothing = bench.held()
    with bench.serve(stops=False) as server:
        client = begin(bench, "put")
        server.process.signal("KILL")
        began = time.monotonic()
        sentence(client, "ended the connection|connection failed: .*taken away", "repeat|runs")
        check(time.monotonic() - began < 20, "the client needed more than 20 s")
    bench.settles(bench.held, nothing, "what is held after the killed server")
    with bench.serve() as server:
        round_trip(bench, server, 5000)


@test(PAIR)
def server_interrupted(bench):
    """Ctrl-C at the server in the middle of put: it tells the client, frees all, and ends."""
    nothing = bench.held()
    with bench.serve(stops=False) as server:
        client = begin(bench, "put")
        server.process.signal("INT")
        sentence(client, "10.77.0.2:18515 was stopped before", "start it again")
        result = server.process.wait(20)
        in_order(result.stderr, "stopping", "put by 10.77.0.1 failed: the server was told to stop")
        equal(result.code, 0, "the exit code of the interrupted server")
    bench.settles(bench.held, nothing, "what is held after the server")


@test(PAIR)
def server_once_failed(bench):
    """With --once the exit code of the server tells that its one transfer failed."""
    with bench.serve("--once", stops=False) as server:
        begin(bench, "put").signal("KILL")
        equal(server.process.wait(40).code, 1, "the exit code of the server")
        failed(server, "client|other side")


@test(PAIR, last=True)
def client_host_gone(bench):
    """The client's host loses its power in the middle of put; the server serves its own host."""
    with bench.serve() as server:
        idle = bench.held()
        begin(bench, "put")
        bench.client.kill()
        failed(server, "connection failed|no progress", "other side|link")
        bench.settles(bench.held, idle, "what is held afterwards")
        path = bench.file("own", noise(5000, 321))
        equal(bench.put(path, host=bench.server).code, 0, "the exit code of put from the own host")
