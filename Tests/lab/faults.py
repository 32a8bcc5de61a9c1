# SPDX-License-Identifier: Apache-2.0
"""Drives that fail, are slow, hang or are pulled out, and RDMA devices that go: told by name."""
import contextlib
import re
import shutil
import subprocess
import time
from pathlib import Path

from bench import Server
from checks import check, equal, in_order, noise, refused, same_bytes
from drives import serving
from registry import FAULTS, Failure, test
from roundtrip import begin
from unchecked import block_device

MIB = 1 << 20


@contextlib.contextmanager
def server_of(bench, path, *options, stops=True):
    """A server of a drive, which the block may end."""
    server = Server(bench, bench.start(bench.server, serving(bench, path, *options)))
    server.process.wait_for(r"serving .* on ", 60)
    yield server
    if stops:
        server.stop()


def drive(bench, name):
    """The block device of a drive of the layout, when it is there."""
    found = []

    def look():
        with contextlib.suppress(Failure, TypeError):
            found.append(block_device(bench, bench.server, name))
        return bool(found)
    bench.settles(look, True, f"whether the drive {name} is there")
    return found[-1]


def told(server, origin, *words):
    """The server's last transfer failed, by whose fault, and it said so."""
    event = server.transfers(1)[0]
    equal(event["complete"], False, "'complete' of the transfer")
    equal(event["origin"], origin, "'origin' of the transfer")
    in_order(event["error"], *words)


@test(FAULTS)
def flush_that_fails(bench):
    """A put whose flush fails is no success: neither the client nor the server says so."""
    path = bench.file("flush", noise(100_000, 601))
    with server_of(bench, drive(bench, "bad")) as server:
        refused(bench.put(path, "--no-verify"), "the drive of 10.77.0.1:18515 failed", r"errno \d+", "undefined")
        told(server, "drive", "failed to flush|could not flush", r"errno \d+")


@test(FAULTS)
def blocks_that_fail(bench):
    """A write and a read that the drive fails reach the client with the drive's own errno."""
    path = bench.file("block", noise(100_000, 602))
    for verb, offset in (("write", 64 * MIB), ("read", 100 * MIB)):
        with server_of(bench, drive(bench, "bad")) as server:
            words = ("--offset", offset)
            result = (bench.put(path, "--no-verify", *words) if verb == "write"
                      else bench.get(bench.scratch / "block-back", 100_000, *words))
            said = refused(result, "the drive of 10.77.0.1:18515", r"errno \d+")
            told(server, "drive", f"could not {verb}|failed to {verb}", re.search(r"errno \d+", said)[0])


@contextlib.contextmanager
def frozen_drive(bench):
    """A loop device on a file system that can be frozen: writes then wait for as long as one wants."""
    good = drive(bench, "good")
    bench.later(lambda: bench.server.run(
        "fsfreeze -u /mnt; for i in 1 2 3 4 5 6 7 8 9; do losetup -d /dev/loop0; umount /mnt && break; sleep 1; done"
        f"; wipefs -qa {good}"))
    bench.must(bench.server, f"mkfs.ext4 -qF {good} && mount {good} /mnt && modprobe loop"
               " && truncate -s 200M /mnt/image && losetup /dev/loop0 /mnt/image")
    yield "/dev/loop0"


def freeze(bench):
    """Nothing is written to the file system any more."""
    bench.must(bench.server, "fsfreeze -f /mnt")


def thaw(bench):
    """It goes on."""
    bench.must(bench.server, "fsfreeze -u /mnt")


@test(FAULTS, last=1)
def slow_drive(bench):
    """A drive that takes four times the client's limit ends nothing, and the put is whole."""
    data = noise(24 * MIB, 603)
    path = bench.file("slow", data)
    with frozen_drive(bench) as loop, server_of(bench, loop, "--memory", "host", "--timeout", 3) as server:
        client = bench.start(bench.client, [
            bench.program, "put", "--connect", bench.server.address, "--progress", "--no-verify", path])
        client.wait_for(r" [1-9]\d? %", 40)
        freeze(bench)
        time.sleep(12)
        check(client.running, "the client has given up")
        equal(server.process.stdout(), "", "what the server told of transfers")
        thaw(bench)
        equal(client.wait(60).code, 0, "the exit code of the client")
        check(server.transfers(1)[0]["complete"], "the server says that the put is not complete")
        bench.must(bench.server, "cp /mnt/image /tmp/image && head -c 25165824 /tmp/image > "
                   f"{bench.scratch}/slow-back; rm /tmp/image")
        same_bytes((bench.scratch / "slow-back").read_bytes(), data, "the file on the slow drive")


def seconds_of_processor(bench, number):
    """What a process has used so far."""
    words = bench.must(bench.server, ["cat", f"/proc/{number}/stat"]).rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / 100


@test(FAULTS, last=2)
def stopped_while_the_drive_hangs(bench):
    """Told to stop while the drive hangs, the server waits without spinning; a second signal ends it."""
    with frozen_drive(bench) as loop, server_of(bench, loop, "--memory", "host", stops=False) as server:
        client = begin(bench, "put", "--offset", 0, size=100 * MIB)
        freeze(bench)
        time.sleep(2)
        number = bench.must(bench.server, "pgrep -f 'nic-to-nvme serve'").split()[0]
        server.process.signal("INT")
        refused(client.wait(30), "10.77.0.1:18515 was stopped before")
        before = seconds_of_processor(bench, number)
        time.sleep(8)
        used = seconds_of_processor(bench, number) - before
        check(used < 1.5, f"the server has used {used} s of 8 while it waited")
        check(server.process.running, "the server has not waited for the drive")
        server.process.signal("INT")
        # While the drive still hangs.
        equal(server.process.wait(10).code, 130, "the exit code of the server")
        thaw(bench)


def ends(server, words, seconds=60):
    """The server ends by itself, with 1 and a sentence."""
    return refused(server.process.wait(seconds), words, "start again")


@test(FAULTS, last=3)
def rdma_device_removed(bench):
    """The RDMA device goes while a server is idle, in put and in get: the server ends with its name."""
    good = drive(bench, "good")
    bench.later(lambda: bench.server.run("rdma link show | grep -q rxe0 || rdma link add rxe0 type rxe netdev eth0"))
    for verb in (None, "put", "get"):
        with server_of(bench, good, stops=False) as server:
            client = begin(bench, verb, "--offset", 0) if verb else None
            # It returns when nobody has the device open any more.
            removal = bench.start(bench.server, "rdma link delete rxe0")
            ends(server, "the RDMA device rxe0 is gone")
            if client:
                refused(client.wait(60), "the RDMA device rxe0 is gone|connection failed|ended the connection")
                told(server, "nic", "rxe0 is gone")
            equal(removal.wait(60).code, 0, "the exit code of the removal")
        bench.must(bench.server, "rdma link add rxe0 type rxe netdev eth0")
    with server_of(bench, good):
        equal(bench.put(bench.file("again", noise(5000, 604))).code, 0, "the exit code of put afterwards")


@test(FAULTS, last=4)
def drive_removed(bench):
    """The drive is pulled out while a server is idle, in put and in get: told to both, and not offered on."""
    bench.later(lambda: bench.server.run("echo 1 > /sys/bus/pci/rescan"))
    for verb in (None, "put", "get"):
        good = drive(bench, "good")
        with server_of(bench, good, stops=False) as server:
            client = begin(bench, verb, "--offset", 0) if verb else None
            removal = bench.start(bench.server, f"echo 1 > /sys/bus/pci/devices/{bench.server.bdf('good')}/remove")
            ends(server, f"the drive {good} is gone")
            if client:
                # The slots are the drive's own memory: a write into them may be the first that fails.
                refused(client.wait(60), "the drive of 10.77.0.1:18515|its memory has been taken away")
                told(server, "drive", "drive")
            equal(removal.wait(60).code, 0, "the exit code of the removal")
        bench.must(bench.server, "echo 1 > /sys/bus/pci/rescan")
    with server_of(bench, drive(bench, "good")):
        equal(bench.put(bench.file("again", noise(5000, 605))).code, 0, "the exit code of put afterwards")


@test(FAULTS, last=5)
def provider_removed(bench):
    """The device whose memory the slots are goes while nobody is served: a sentence for the next client, and the end."""
    bench.later(lambda: bench.server.run("echo 1 > /sys/bus/pci/rescan"))
    drive(bench, "good")
    provider = bench.server.bdf("good")
    bench.must(bench.server, "modprobe loop && truncate -s 8M /tmp/image && losetup /dev/loop1 /tmp/image")
    bench.later(lambda: bench.server.run("losetup -d /dev/loop1", check=True))
    path = bench.file("provider", noise(100_000, 607))
    with server_of(bench, "/dev/loop1", "--provider", provider, stops=False) as server:
        # The kernel takes p2pmem to NVMe drives alone; the client's part of the slots is wiped behind it.
        refused(bench.put(path), "the drive of 10.77.0.1:18515")
        bench.must(bench.server, f"echo 1 > /sys/bus/pci/devices/{provider}/remove")
        refused(bench.put(path), "10.77.0.1:18515")
        refused(server.process.wait(60), f"the memory of {provider} is gone", "when the device is back")


@test(FAULTS)
def full_disk(bench):
    """A get that the client's disk has no room for: a full disk is named, the old file stays, nothing is left."""
    bench.must(bench.client, "mkdir -p /tmp/small && mount -t tmpfs -o size=2M none /tmp/small && "
               "echo old > /tmp/small/file")
    bench.later(lambda: bench.client.run("umount /tmp/small"))
    with server_of(bench, drive(bench, "good")):
        refused(bench.get("/tmp/small/file", 8 * MIB), "cannot be written", "errno 28", "make room")
        equal(bench.must(bench.client, "ls /tmp/small; cat /tmp/small/file"), "file\nold\n", "what is left")


@test(FAULTS)
def client_killed_on_the_way(bench):
    """A client that is killed in the middle of get leaves the old file whole, and nothing beside it."""
    bench.must(bench.client, "mkdir -p /tmp/whole && echo old > /tmp/whole/file")
    with server_of(bench, drive(bench, "good")) as server:
        client = begin(bench, "get", "--output", "/tmp/whole/file")
        client.signal("KILL")
        equal(client.wait(20).code, 137, "the exit code of the killed client")
        equal(bench.must(bench.client, "ls -A /tmp/whole; cat /tmp/whole/file"), "file\nold\n", "what is left")
        server.transfers(1)
        equal(bench.get("/tmp/whole/file", 5000).code, 0, "the exit code of the next get")


@test(FAULTS)
def get_onto_a_drive(bench):
    """A drive as output has the server's checks, and takes what fits."""
    good = drive(bench, "good")
    with open(bench.server.drives["good"], "r+b") as file:
        file.write(noise(5000, 606))
    with server_of(bench, good):
        refused(bench.get(good, 5000), f"{good} is in use", "--overwrite")
        loop = bench.must(bench.client, "modprobe loop && truncate -s 1M /tmp/out && "
                          "losetup -f --show /tmp/out").strip()
        bench.later(lambda: bench.client.run(f"losetup -d {loop}"))
        refused(bench.get(loop, 2 * MIB), "1048576 bytes", "larger drive")
        equal(bench.get(loop, 5000).code, 0, "the exit code of get onto a drive")
        equal(bench.must(bench.client, f"cmp -n 5000 {loop} {good} && echo same"), "same\n", "the bytes")
        bench.must(bench.client, f"mkswap -q {loop}")
        refused(bench.get(loop, 5000), "holds data of type swap", "--overwrite")
        equal(bench.get(loop, 5000, "--overwrite").code, 0, "the exit code of get with --overwrite")


@test(FAULTS, last=6)
def metadata(bench):
    """A namespace that is formatted with metadata is not used by passthrough, and is again when it has none."""
    good = drive(bench, "good")
    program = _compiled(bench)
    character = good.replace("nvme", "ng")
    ping = [bench.pong, "--nvme", good, "--passthrough", "--drive-range", "0:1M", "--size", 4096]

    def formatted(index):
        bench.must(bench.server, [program, character, str(index)])
        bench.must(bench.server, f"blockdev --flushbufs {good}; sleep 1")
    sizes = _formats(bench, program, character)
    with_metadata = next(i for i, (block, extra) in enumerate(sizes) if block == 512 and extra)
    without = next(i for i, (block, extra) in enumerate(sizes) if block == 512 and not extra)
    bench.later(lambda: bench.server.run([program, character, str(without)]))
    formatted(with_metadata)
    result = bench.run(bench.server, [*map(str, ping)], 30)
    check(result.code == 1, f"passthrough on metadata ended with {result.code}")
    in_order(result.stderr, rf"with {sizes[with_metadata][1]} bytes of metadata for each block", "nvme-format")
    formatted(without)
    server = bench.start(bench.server, [*map(str, ping)])
    time.sleep(5)
    check(server.running, "passthrough on a namespace without metadata has ended")
    server.signal("INT")
    server.wait(20)


def _compiled(bench):
    """The program that formats a namespace, for the guest."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise Failure("no C compiler is here to build nvme_format.c with")
    program = bench.scratch / "nvme-format"
    source = Path(__file__).with_name("nvme_format.c")
    subprocess.run([compiler, "-static", "-o", program, source], check=True)
    return str(program)


def _formats(bench, program, character):
    """The formats of a namespace: bytes of a block, and of its metadata."""
    lines = bench.must(bench.server, [program, character]).splitlines()
    return [tuple(map(int, line.split())) for line in lines]
