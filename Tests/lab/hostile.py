# SPDX-License-Identifier: Apache-2.0
"""Clients that do not keep to the protocol: refused or ended, told, and nothing of theirs remains.

The hostile client (Tests/HostileClient) prints a line for each thing that happened to it. After
each of them the server must have its slots back and serve a good client.
"""
import contextlib
import re

from checks import check, equal, in_order, noise, refused, same_bytes
from registry import PAIR, test

MIB = 1 << 20
ENDED = "; its slots and queue pair are free again"
SLOTS = ("--slots", 4, "--slot-size", "64K")     # as many as the hostile client asks for
OUT_OF_TURN = ["accepted 4 65536", "immediate 4 11 0", "disconnected"]
# The server's device refused it: ibv_wc_status 10 is a remote access error.
NO_ACCESS = ["accepted 4 65536", "completion 10", "disconnected"]
# The server agrees on no reads when it accepts, so the client's own device never sends one.
NO_READS = ["accepted 4 65536", "still connected"]


class Target:
    """A server under attack, and the part of the drive that attacks are aimed at."""

    def __init__(self, bench, server):
        self.bench, self.server = bench, server
        self.idle = bench.held()
        self.before = bench.fill(0, 2 * MIB, seed=401)
        self.good = bench.file("good", noise(5001, 402))
        self.transfers = 0

    def attacked(self, mode, seed=1, timeout=60):
        """Let the hostile client do its worst; returns the lines that it printed."""
        result = self.bench.run(self.bench.client, [
            self.bench.hostile, mode, self.bench.server.address, 18515, seed], timeout)
        equal(result.code, 0, f"the exit code of the hostile client ({mode}, seed {seed})")
        return result.stdout.splitlines()

    def ended(self, mode, words):
        """The server gave that client up, and said why in words and as JSON."""
        self.transfers += 1
        event = self.server.transfers(self.transfers)[-1]
        equal(event["complete"], False, f"'complete' after {mode}")
        in_order(event["error"] or "", words)
        self.server.waits_for(re.escape(event["error"][:40]) + ".*" + ENDED)

    def still_serves(self, mode):
        """The slots are back, the drive is as it was, and a good client is served."""
        bench = self.bench
        bench.fill(4 * MIB, 5001, seed=self.transfers)
        check(self.server.process.running, f"the server has ended after {mode}")
        bench.settles(bench.held, self.idle, f"what the server holds after {mode}")
        same_bytes(bench.drive(0, 2 * MIB), self.before, f"the drive after {mode}")
        sent = bench.put(self.good, "--offset", 4 * MIB, "--no-verify")
        equal(sent.code, 0, f"the exit code of a good put after {mode}")
        same_bytes(bench.drive(4 * MIB, 5001), self.good.read_bytes(),
                   f"the file of a good client after {mode}")
        self.transfers += 1
        self.server.transfers(self.transfers)


@contextlib.contextmanager
def target(bench, *options):
    """A server that must stand all that happens in the block."""
    with bench.serve(*SLOTS, *options) as server:
        yield Target(bench, server)


@test(PAIR)
def other_version(bench):
    """A client of another protocol version is told which one the server speaks."""
    with target(bench) as under:
        equal(under.attacked("version"), ["rejected 2 2"] * 2, "what the client was told")
        equal(under.attacked("hello-version"), ["rejected 1 2"] * 2, "what a hello of another version met")
        in_order(under.server.said(), r"refused 10\.77\.0\.1: .*version", r"refused .*version")
        under.still_serves("another version")


@test(PAIR)
def hellos(bench):
    """Hellos that are noise, too short, or ask for what cannot be, get the code that fits."""
    with target(bench) as under:
        for seed in (1, 2):
            for mode in ("noise", "noise-behind-version", "noise-hello", "noise-behind-hello"):
                equal([line for line in under.attacked(mode, seed) if line != "rejected 11 0"], ["rejected 1 2"] * 10,
                      f"what was told of {mode} (seed {seed})")
        equal(under.attacked("short"), ["rejected 1 2"] * 3, "what was told of short requests")
        equal(under.attacked("short-hello"), ["rejected 11 0"] * 3, "what was told of short hellos")
        equal(under.attacked("proof"), ["rejected 1 2"], "what was told of a proof that nobody asked for")
        equal(under.attacked("operation"), ["rejected 1 2"] * 2, "what was told of operations")
        for line in under.attacked("slots"):
            check(line.startswith("rejected 8 "), f"impossible slots were answered with {line!r}")
        equal(under.attacked("range"), ["rejected 5 268435456"] * 4, "what was told of ranges")
        equal(under.attacked("off-block"), ["rejected 6 512"] * 2, "what was told of offsets")
        equal(under.attacked("nothing"), ["rejected 7 0"], "what was told of no bytes")
        equal(under.attacked("message-for-hello"), ["rejected 11 0", "disconnected"], "what another message met")
        equal(under.attacked("mute"), ["rejected 20 0", "disconnected"], "what a client without a hello met")
        check(len(re.findall("refused 10.77.0.1: ", under.server.said())) > 50,
              "the server did not tell of each refusal")
        under.still_serves("strange hellos")


@test(PAIR)
def forged_requests(bench):
    """A request that names another host as its own counts by where answers to it would go."""
    own, other, server = bench.client.address, "10.77.0.9", bench.server.address

    def forge(claim, path):
        result = bench.run(bench.client, [bench.hostile, "forge", server, 18515, own, claim, path])
        equal(result.code, 0, f"the exit code of the hostile client that claims to be {claim}")

    where = re.escape(f"its address is not the one that its path leads to ({own})")
    for allow in (other, "10.77.0.0/24", ""):
        with bench.serve(allow=allow) as under:
            free = bench.free_p2pmem()
            for claim in (other, server):
                forge(claim, own)
                under.waits_for(f"refused {re.escape(claim)}: {where}")
            equal(under.process.stdout(), "", "what the server told of transfers")
            equal(bench.free_p2pmem(), free, "the free p2pmem after forged requests")
    # The same request without a lie is taken for what it is: by its address alone.
    with bench.serve(allow=other) as under:
        forge(own, own)
        under.waits_for(f"refused {re.escape(own)}: its address is not one of those")


@test(PAIR)
def without_the_key(bench):
    """A server with a key offers nothing to who does not have it, and a client with one believes no other server."""
    path = bench.file("keyed", noise(70_000, 403))
    keys = {name: bench.file(name, text) for name, text in (
        ("key", b"0123456789abcdef0123456789abcdef\n"), ("same", b"0123456789abcdef0123456789abcdef"),
        ("other", b"0123456789abcdef0123456789abcdeF"))}
    for key in keys.values():
        key.chmod(0o600)
    before = bench.fill(0, MIB, seed=404)
    with bench.serve("--key-file", keys["key"]) as server:
        free = bench.free_p2pmem()
        check("there is no key" not in server.said(), "a server with a key says that it has none")
        for words, said in (((), "serves owners of its key alone.*--key-file"),
                            (("--key-file", keys["other"]), "has another key.*--key-file")):
            result = bench.put(path, *words)
            equal(result.code, 1, f"the exit code of put with {words}")
            in_order(result.stderr, said)
        for mode in ("proof", "operation", "two-hellos"):
            result = bench.run(bench.client, [bench.hostile, mode, bench.server.address, 18515])
            equal(set(result.stdout.split("\n")) - {""}, {"rejected 19 2"}, f"what {mode} met")
        equal(bench.free_p2pmem(), free, "the free p2pmem beside clients without the key")
        same_bytes(bench.drive(0, MIB), before, "the drive after clients without the key")
        in_order(server.said(), "refused 10.77.0.1: it does not have this server's key")
        equal(bench.put(path, "--key-file", keys["same"]).code, 0, "the exit code of put with the key")
    with bench.serve() as server:
        server.waits_for("there is no key: who takes over an allowed address")
        result = bench.put(path, "--key-file", keys["key"])
        equal(result.code, 1, "the exit code of put with a key to a server without")
        in_order(result.stderr, "has no key: it does not prove who it is", "--key-file")
    keys["key"].chmod(0o644)
    refused(bench.refused_server("--key-file", keys["key"]), "is open to other users \\(mode 644\\)", "chmod 600")
    pong = ("--nvme", "/dev/nvme0n1", "--drive-range", "1M:1M", "--events", "--iterations", "5", "--allow",
            bench.client.address, "--key-file", str(keys["same"]))
    server = bench.start(bench.server, [bench.pong, *pong])
    server.wait_for("waiting for a client", 60)
    client = [bench.pong, "--events", "--iterations", "5", bench.server.address, "--key-file"]
    for words, said in ((client[:-1], "for owners of its key"), ([*client, str(keys["other"])], "does not serve this")):
        result = bench.run(bench.client, words, 60)
        equal(result.code, 1, f"the exit code of ping-pong as {words}")
        in_order(result.stderr, said)
    check("it does not have this server's key" in server.stderr(), "ping-pong's server did not refuse")
    equal(bench.run(bench.client, [*client, str(keys["same"])], 60).code, 0, "the exit code of ping-pong with the key")
    equal(server.wait(20).code, 0, "the exit code of ping-pong's server")


@test(PAIR)
def messages(bench):
    """Immediates that are garbage, or that only a server sends, end the connection."""
    with target(bench) as under:
        for mode, seeds in (("immediate", (1, 2)), ("immediates", (3, 4)), ("credit-flood", (1,)),
                            ("chunk-without-write", (1,)), ("two-hellos", (1,))):
            for seed in seeds:
                equal(under.attacked(mode, seed), OUT_OF_TURN, f"what {mode} met (seed {seed})")
                under.ended(mode, "broke the protocol: an immediate that is no chunk"
                            "; run the same .* on both sides")
                under.still_serves(f"{mode} (seed {seed})")


@test(PAIR)
def chunks(bench):
    """Chunks of another length never reach the drive."""
    with target(bench) as under:
        for mode, words in (("wrong-length", "chunk 0 of 4096 bytes"), ("no-length", "chunk 0 of 0 bytes"),
                            ("too-long", "chunk 0 of 131072 bytes")):
            equal(under.attacked(mode), OUT_OF_TURN, f"what {mode} met")
            under.ended(mode, words)
            under.still_serves(mode)


@test(PAIR)
def other_memory(bench):
    """Only the slots can be written, with the right key, and nothing can be read."""
    with target(bench) as under:
        for mode in ("behind-the-slots", "far-behind-the-slots", "before-the-slots", "over-the-end",
                     "other-key"):
            # The refusal of the server's device may be overtaken by the end of the connection.
            lines = under.attacked(mode)
            check(lines in (NO_ACCESS, NO_ACCESS[::2]), f"{mode} met {lines}")
            under.ended(mode, "client|other side|peer")
            under.still_serves(mode)
        equal(under.attacked("read-the-slots"), NO_READS, "what a read of the slots met")
        under.ended("read-the-slots", "client|other side|peer")
        under.still_serves("read-the-slots")


@test(PAIR)
def read_with_flush(bench):
    """Where the server itself reads its slots back, a client can read them as little as before."""
    with target(bench, "--flush-peer-writes", "always") as under:
        equal(under.attacked("read-the-slots"), NO_READS, "what a read of the slots met")
        under.ended("read-the-slots", "client|other side|peer")
        under.still_serves("read-the-slots")


@test(PAIR)
def silence(bench):
    """A client that goes at once, without a word too, or stays and says nothing."""
    with target(bench, "--timeout", 3) as under:
        for mode in ("disconnect", "vanish"):
            equal(under.attacked(mode), ["accepted 4 65536"], f"what {mode} met")
            under.ended(mode, "client|other side")
            under.still_serves(mode)
        equal(under.attacked("silent"), [
            "accepted 4 65536", *(f"immediate 2 {slot} 0" for slot in range(4)), "immediate 4 17 3", "disconnected",
        ], "what silence met")
        under.ended("silent", "no progress for 3 s")
        under.still_serves("silent")


@test(PAIR)
def gets(bench):
    """A get whose client returns slots that it does not have, or has no memory to write to."""
    with target(bench) as under:
        for mode, words in (("get-credit-flood", "an immediate that returns no slot"),
                            ("get-credit-for-none", "an immediate that returns no slot"),
                            ("get-chunk", "an immediate that returns no slot")):
            lines = under.attacked(mode)
            equal([line for line in lines if not line.startswith("chunk ")], OUT_OF_TURN,
                  f"what {mode} met")
            under.ended(mode, words)
            under.still_serves(mode)
        for mode in ("get-without-key", "get-beyond-memory"):
            lines = under.attacked(mode)
            equal(lines[0], "accepted 4 65536", f"the first that {mode} met")
            equal(lines[-1], "disconnected", f"the last that {mode} met")
            under.ended(mode, "client's|other side|peer's region")
            under.still_serves(mode)


@test(PAIR)
def attacked_while_busy(bench):
    """Strange hellos in the middle of a transfer do not disturb it."""
    path = bench.file("long", noise(8 * MIB, 411))
    with bench.serve() as server:
        client = bench.start(bench.client, [
            bench.program, "put", "--connect", bench.server.address, "--progress", path])
        client.wait_for(r" [1-9]\d? %", 60)
        for mode, seed in (("noise", 5), ("version", 1), ("range", 1)):
            result = bench.run(bench.client, [
                bench.hostile, mode, bench.server.address, 18515, seed])
            equal(result.code, 0, f"the exit code of the hostile client ({mode})")
            check("accepted" not in result.stdout, f"{mode} was accepted")
        equal(client.wait(90).code, 0, "the exit code of the good client")
        same_bytes(bench.drive(0, 8 * MIB), path.read_bytes(), "the good client's file")
        server.transfers(2)
