# SPDX-License-Identifier: Apache-2.0
"""Runs in a guest: asks the kernel for its verdict on pairs of drives, by moving data between them.

    kernel.py QUESTION.json ANSWER.json

A provider is a drive with a controller memory buffer, a client is a drive. Between a page of the
provider's p2pmem and blocks of the client goes a write and a read with O_DIRECT, checked with
data by way of ordinary memory. A client may be a lab HCA, too: see hca_client. What the kernel's own
function said, map type and distance, is recorded by a probe on its return.
"""
import errno
import json
import mmap
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import hca_client

PAGE = 4096
PCI = Path("/sys/bus/pci/devices")
TRACING = Path("/sys/kernel/tracing")
SYMBOL = "calc_map_type_and_dist"
# enum pci_p2pdma_map_type got a value NONE in front of the others after 6.12.
TYPES = ["notSupported", "busAddress", "throughHostBridge"]


def extended_capability(function, identifier):
    """The offset of an extended capability in the configuration space, None where it is absent."""
    data = (PCI / function / "config").read_bytes()
    place = 0x100
    while place >= 0x100 and place + 4 <= len(data):
        header = int.from_bytes(data[place:place + 4], "little")
        if header & 0xffff == identifier:
            return place
        place = header >> 20 & 0xffc
    return None


def set_access_control(function, bits):
    """Write the ACS control word of a bridge, and return what it then holds."""
    place = extended_capability(function, 0x0d)
    if place is None:
        raise SystemExit(f"{function} has no access control services to be set")
    with open(PCI / function / "config", "r+b", buffering=0) as file:
        os.pwrite(file.fileno(), bits.to_bytes(2, "little"), place + 6)
        return int.from_bytes(os.pread(file.fileno(), 2, place + 6), "little")


def drives(serials):
    """From serial number to (PCI address, block device), once all the drives are there."""
    deadline = time.monotonic() + 60
    found = {}
    while set(serials) - set(found):
        if time.monotonic() > deadline:
            raise SystemExit(f"no block device of: {', '.join(set(serials) - set(found))}")
        for controller in Path("/sys/class/nvme").glob("nvme*"):
            serial = (controller / "serial").read_text().strip()
            for name in os.listdir(controller):
                block = re.sub(r"c\d+n", "n", name)
                if re.fullmatch(r"nvme\d+n\d+", block) and os.path.exists(f"/dev/{block}"):
                    address = os.path.basename(os.path.realpath(controller / "device"))
                    found[serial] = (address, f"/dev/{block}")
        time.sleep(0.05)
    return found


def memory_of(function):
    """A page of a provider's p2pmem, None where the kernel publishes none."""
    try:
        descriptor = os.open(PCI / function / "p2pmem" / "allocate", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        return mmap.mmap(descriptor, PAGE, mmap.MAP_SHARED)
    finally:
        os.close(descriptor)


def moved(call, descriptor, memory, offset):
    """Run one transfer: "ok", or the name of the error."""
    try:
        return "ok" if call(descriptor, [memory], offset) == PAGE else "short"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def ask(provider_memory, client, bounce, noise):
    """Move a page to and from the client's blocks: the results of the write and the read, data right."""
    blocks = os.open(client, os.O_RDWR | os.O_DIRECT)
    try:
        first, second = noise.randbytes(PAGE), noise.randbytes(PAGE)
        provider_memory[:] = first
        written = moved(os.pwritev, blocks, provider_memory, 0)
        bounce[:] = bytes(PAGE)
        moved(os.preadv, blocks, bounce, 0)
        right = written != "ok" or bounce[:] == first
        bounce[:] = second
        moved(os.pwritev, blocks, bounce, PAGE)
        read = moved(os.preadv, blocks, provider_memory, PAGE)
        wanted = second if read == "ok" else first
        return {"write": written, "read": read, "data": right and provider_memory[:] == wanted}
    finally:
        os.close(blocks)


def start_probe():
    """Have the kernel record what its decision returns. False where it has no such function."""
    subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], check=False, capture_output=True)
    try:
        (TRACING / "kprobe_events").write_text(
            f"r:peermr {SYMBOL} distance=+0($arg3):s32 type=$retval:s32\n")
    except OSError:
        return False
    (TRACING / "events/kprobes/peermr/enable").write_text("1\n")
    return True


def recorded(release):
    """From the number of a pair to (map type, distance), out of the kernel's record."""
    first = 1 if release <= (6, 12) else 2
    found, number = {}, None
    for line in (TRACING / "trace").read_text().splitlines():
        if marker := re.search(r"tracing_mark_write: pair (\d+)", line):
            number = int(marker[1])
        elif event := re.search(r"peermr: .*distance=(-?\d+) type=(\d+)", line):
            found[number] = (TYPES[int(event[2]) - first], int(event[1]))
    return found


def main():
    """Answer the question of the first argument into the file of the second."""
    question = json.loads(Path(sys.argv[1]).read_text())
    controls = {function: set_access_control(function, bits)
                for function, bits in question["access_control"].items()}
    places = drives(question["drives"])
    hcas = question["hcas"]
    places.update((name, (function, hca_client.rdma_device(function))) for name, function in hcas.items())
    memories = {name: memory_of(places[name][0]) for name in question["drives"]}
    noise = random.Random(question["seed"])
    bounce = mmap.mmap(-1, PAGE)
    has_probe = start_probe()
    verdicts = []
    for number, (provider, client) in enumerate(question["pairs"]):
        if has_probe:
            (TRACING / "trace_marker").write_text(f"pair {number}\n")
        memory = memories[provider]
        if memory is None:
            verdicts.append({"write": "no pool", "read": "no pool", "data": True})
        elif client in hcas:
            verdicts.append(hca_client.ask(question["tool"], places[provider][0], hcas[client]))
        else:
            verdicts.append(ask(memory, places[client][1], bounce, noise))
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    record = recorded(release) if has_probe else {}
    functions = [path.name for path in PCI.iterdir()]
    answer = {
        "release": os.uname().release,
        "access_control": controls,
        "drives": places,
        "has_probe": has_probe,
        "pairs": [{"provider": provider, "client": client, **verdict, "record": record.get(number)}
                  for number, ((provider, client), verdict)
                  in enumerate(zip(question["pairs"], verdicts))],
        "paths": {name: os.path.realpath(PCI / name) for name in functions},
        "sizes": {name: os.stat(PCI / name / "config").st_size for name in functions},
        "log": subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout,
    }
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
