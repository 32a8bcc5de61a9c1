# SPDX-License-Identifier: Apache-2.0
"""Faults at every stage of puts and gets over p2pmem, one after the other: what was acknowledged is on the drive,
nobody else's bytes were touched, and both hosts have all that they had before."""
import collections
import os
import random
import re
import time

from bench import Server
from checks import check, equal, noise, same_bytes
from faults import drive
from registry import CYCLES, Failure, test

KIB = 1 << 10
MIB = 1 << 20
# The part of the drive that is looked at: the last of it has the blocks that fail.
_LOOKED_AT = 60 * MIB
_WRITE_FAILS, _READ_FAILS = 48 * MIB, 56 * MIB
_CYCLES = int(os.environ.get("PEERMR_CYCLES", "0"))


class Cycles:
    """Two hosts, a server that is always there, and what has to be on its drive."""

    def __init__(self, bench, seed):
        self.bench = bench
        self.rng = random.Random(seed)
        self.truth = bytearray(bench.fill(0, _LOOKED_AT, seed=seed))
        self.counts, self.seconds = collections.Counter(), collections.Counter()
        self.server = None
        self.nothing = self.held()
        self.serve()
        self.idle = self.held()
        equal(self.idle["p2pmem"], self.nothing["p2pmem"] - self.server.pool, "the free p2pmem beside an idle server")

    def serve(self):
        """Start the server."""
        words = self.bench.serving("--slot-size", "64K", "--slots", 8, "--timeout", 4, "--overwrite")
        words[words.index("--nvme") + 1] = drive(self.bench, "nvme0")
        self.server = Server(self.bench, self.bench.start(self.bench.server, words))
        self.server.waits_for(r"serving .* on ", 60)

    def held(self):
        """What the server's host holds, and the client's: p2pmem, RDMA objects, files and processes of nic-to-nvme."""
        found = self.bench.held()
        processes = "echo processes $(pgrep -cx nic-to-nvme); rdma resource show"
        for host in (self.bench.client, self.bench.server):
            text = self.bench.must(host, processes)
            found.update({f"{host.name} {kind}": int(count) for kind, count in re.findall(r"\b([a-z_]+) (\d+)", text)})
        return found

    # One transfer with one fault

    def run(self, fault):
        """A transfer, the fault somewhere in it, and what is left."""
        began = time.monotonic()
        verb = self.rng.choice(("put", "put", "get"))
        size = self.rng.choice((self.rng.randrange(1, 300 * KIB), self.rng.randrange(6 * MIB, 16 * MIB)))
        at = self.rng.randrange(0, (40 * MIB - size) // 4096) * 4096
        if fault is bad_block:
            size, bad = max(size, MIB), _WRITE_FAILS if verb == "put" else _READ_FAILS
            at = bad - self.rng.randrange(0, size // 4096) * 4096
            at = max(0, min(at, _LOOKED_AT - size - 4096) // 4096 * 4096)
        data = noise(size, self.rng.random()) if verb == "put" else b""
        path, back = self.bench.scratch / "cycle", self.bench.scratch / "cycle-back"
        back.unlink(missing_ok=True)
        path.write_bytes(data)
        words = (["put", path, *self.rng.choice(([], ["--no-verify"]))] if verb == "put"
                 else ["get", "--length", size, "--output", back])
        client = self.bench.start(self.bench.client, [
            self.bench.program, words[0], "--connect", self.bench.server.address, "--offset", at, "--json", *words[1:]])
        if fault is not bad_block:
            time.sleep(self.rng.choice((self.rng.random(), 2.5 * self.rng.random())))
        fault(self, client)
        result = client.wait(60)
        # One that was killed may have said so before.
        is_done = result.code == 0 or '"operation"' in result.stdout
        self.settle(fault)
        self.counts[f"{verb} {'done' if is_done else 'failed'}"] += 1
        self.counts[fault.__name__] += 1
        self.seconds[fault.__name__] += time.monotonic() - began
        self.compare(verb, is_done, at, size, data, back)
        check(is_done or fault is not nothing_at_all, f"{verb} failed without a fault: {result.stderr[-300:]}")

    def compare(self, verb, is_done, at, size, data, back):
        """What was acknowledged is there; a put that failed has touched its own blocks alone, a get nothing."""
        found = self.bench.drive(0, _LOOKED_AT)
        if verb == "put" and is_done:
            self.truth[at:at + size] = data
        elif verb == "put":
            # Old bytes, new ones or both: from here on they stay.
            end = at + -(-size // 512) * 512
            new = data + bytes(self.truth[at + size:end])
            for block in range(at, end, 512):
                here = found[block:block + 512]
                check(here in (self.truth[block:block + 512], new[block - at:block - at + 512]),
                      f"a put that failed has left other bytes than old or new ones at {block}")
                self.truth[block:block + 512] = here
        elif is_done or back.exists():
            # It has its name when it is whole, and not before.
            same_bytes(back.read_bytes(), bytes(self.truth[at:at + size]), "what a get has brought")
        if found != self.truth:
            same_bytes(found, bytes(self.truth), "the drive")

    def settle(self, fault):
        """The server serves, or is started again; then both hosts have what they had."""
        if fault in ENDS_THE_SERVER:
            self.server.process.wait(60)
            self.bench.settles(self.held, self.nothing, f"what is held after {fault.__name__}, without a server")
            self.serve()
        check(self.server.process.running, f"the server has ended after {fault.__name__}: {self.server.said()[-300:]}")
        self.bench.settles(self.held, self.idle, f"what is held after {fault.__name__}", 60)

    def finish(self):
        """The server ends in an orderly way, and nothing is left."""
        self.server.stop()
        self.bench.settles(self.held, self.nothing, "what is held in the end")
        print("     " + ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items())), flush=True)
        print("     seconds: " + ", ".join(f"{what} {count:.0f}" for what, count in self.seconds.items()), flush=True)


# Faults, at whatever stage the transfer is by then


def nothing_at_all(_cycles, _client):
    """None: the transfer has to succeed."""


def client_killed(_cycles, client):
    """The client's process is killed."""
    client.signal("KILL")


def client_interrupted(_cycles, client):
    """Ctrl-C at the client."""
    client.signal("INT")


def client_silent(_cycles, client):
    """The client stands still for longer than the server waits, and is killed."""
    client.signal("STOP")
    time.sleep(6)
    client.signal("KILL")


def bad_block(_cycles, _client):
    """The drive fails a block on the way."""


def cable_out(cycles, client):
    """The cable is out until both ends have found out, or, by turns, for a moment that nobody minds."""
    cycles.bench.client.set_link(False)
    try:
        if cycles.rng.random() < 0.5:
            time.sleep(0.3)
        else:
            limit = time.monotonic() + 40
            while client.running and time.monotonic() < limit:
                time.sleep(0.3)
    finally:
        cycles.bench.client.set_link(True)


def server_killed(cycles, _client):
    """The server's process is killed."""
    cycles.server.process.signal("KILL")


def server_stopped(cycles, _client):
    """Ctrl-C at the server."""
    cycles.server.process.signal("INT")


def device_removed(cycles, _client):
    """The server's RDMA device is removed, and made again."""
    cycles.bench.must(cycles.bench.server, "rdma link delete rxe0; rdma link add rxe0 type rxe netdev eth0")


def drive_removed(cycles, _client):
    """The drive is taken away from its driver, and found again."""
    place = f"/sys/bus/pci/devices/{cycles.bench.server.bdf('nvme0')}"
    cycles.bench.must(cycles.bench.server, f"echo 1 > {place}/remove; echo 1 > /sys/bus/pci/rescan")


FAULTS = [client_killed, server_killed, bad_block, client_interrupted, server_stopped, nothing_at_all, cable_out,
          client_silent, device_removed, drive_removed]
ENDS_THE_SERVER = [server_killed, server_stopped, device_removed, drive_removed]


def go(bench, seed, count):
    """So many cycles: each fault in turn, at a stage that is drawn."""
    cycles = Cycles(bench, seed)
    for number in range(count):
        try:
            cycles.run(FAULTS[number % len(FAULTS)])
        except Failure as failure:
            raise Failure(f"cycle {number} of seed {seed}: {failure}") from failure
    cycles.finish()


@test(CYCLES, last=1)
def faults_at_every_stage(bench):
    """Clients, servers, cable, RDMA device and drive fail: no byte acknowledged and lost, nothing left behind."""
    go(bench, 1001, _CYCLES or 20)


@test(CYCLES, last=2, long=True)
def many_faults_at_every_stage(bench):
    """The same, 300 times; PEERMR_CYCLES for another number."""
    go(bench, 1002, _CYCLES or 300)
