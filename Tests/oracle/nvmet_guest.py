# SPDX-License-Identifier: Apache-2.0
"""Runs in a guest: has the kernel's NVMe over Fabrics target decide about p2pmem, and asks PeerMR before.

    nvmet_guest.py QUESTION.json ANSWER.json

Each drive is a namespace of one subsystem with p2pmem on; some are a second time, with a provider of their own. A host
on the same machine connects over Soft-RoCE, once as it is and once for each lab HCA, which the module nvmet_client puts
in as the NIC. What the kernel took is in its log and in the module's count of allocations.
"""
import json
import mmap
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

from kernel import PCI, drives, set_access_control

CONFIG = Path("/sys/kernel/config/nvmet")
PARAMETERS = Path("/sys/module/nvmet_client/parameters")
SUBSYSTEM = "nqn.2026-01.test:oracle"
BYTES = 16384
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]


def command(*words, check=True):
    """Run a command; returns its standard output."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=60)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def direct(path, flags, function):
    """Open for direct I/O, and call `function` with the descriptor and a buffer."""
    descriptor = os.open(path, flags | os.O_DIRECT)
    try:
        with mmap.mmap(-1, BYTES) as buffer:
            return function(descriptor, buffer)
    finally:
        os.close(descriptor)


def fill(path, content):
    """Put bytes at the start of a drive."""
    def write(descriptor, buffer):
        buffer[:] = content
        os.pwritev(descriptor, [buffer], 0)
        os.fsync(descriptor)
    direct(path, os.O_RDWR, write)


def fetch(path):
    """The bytes at the start of a drive; None where reading fails."""
    def read(descriptor, buffer):
        try:
            return bytes(buffer) if os.preadv(descriptor, [buffer], 0) == BYTES else None
        except OSError:
            return None
    return direct(path, os.O_RDONLY, read)


def target(address, namespaces):
    """Set the target up; sets in each namespace whether the kernel enabled it."""
    place = CONFIG / "subsystems" / SUBSYSTEM
    place.mkdir()
    (place / "attr_allow_any_host").write_text("1")
    for number, namespace in enumerate(namespaces, 1):
        folder = place / "namespaces" / str(number)
        folder.mkdir()
        (folder / "device_path").write_text(namespace["path"])
        (folder / "p2pmem").write_text(namespace["switch"])
        try:
            (folder / "enable").write_text("1")
        except OSError:
            pass
        namespace["enabled"] = (folder / "enable").read_text().strip() == "1"
    port = CONFIG / "ports" / "1"
    port.mkdir()
    for name, value in (("addr_adrfam", "ipv4"), ("addr_trtype", "rdma"), ("addr_traddr", address),
                        ("addr_trsvcid", "4420")):
        (port / name).write_text(value)
    (port / "subsystems" / SUBSYSTEM).symlink_to(place)


def imported(count):
    """The block devices of the connection's namespaces, by number, once all are there."""
    deadline = time.monotonic() + 30
    while True:
        found = {}
        for controller in Path("/sys/class/nvme").glob("nvme*"):
            if (controller / "subsysnqn").read_text().strip() != SUBSYSTEM:
                continue
            for folder in [controller, *(Path("/sys/class/nvme-subsystem").glob("*") if not found else [])]:
                for block in folder.glob("nvme*n*"):
                    name = re.sub(r"c\d+n", "n", block.name)
                    if (block / "nsid").exists() and os.path.exists(f"/dev/{name}") and _is_own(folder, controller):
                        found[int((block / "nsid").read_text())] = f"/dev/{name}"
        if len(found) >= count:
            return found
        if time.monotonic() > deadline:
            raise SystemExit(f"of {count} namespaces the host has {found}")
        time.sleep(0.05)


def _is_own(folder, controller):
    return folder == controller or (folder / "subsysnqn").read_text().strip() == SUBSYSTEM


def connect(address, function, namespaces):
    """Connect with this function as the NIC, read each namespace: what the kernel took, by number."""
    (PARAMETERS / "client").write_text(function or "\n")
    command("dmesg", "-C")
    command("nvme", "connect", "-t", "rdma", "-a", address, "-s", "4420", "-n", SUBSYSTEM, "-i", "1")
    enabled = [number for number, namespace in enumerate(namespaces, 1) if namespace["enabled"]]
    paths = imported(len(enabled))
    log = command("dmesg")
    told = {int(number): name for name, number in re.findall(r"using p2pmem on (\S+) for nsid (\d+)", log)}
    found = {}
    for number in enabled:
        (PARAMETERS / "taken").read_text()
        content = fetch(paths[number])
        lines = [line.split() for line in (PARAMETERS / "taken").read_text().splitlines()]
        wanted = random.Random(namespaces[number - 1]["seed"]).randbytes(BYTES)
        found[number] = {
            "told": told.get(number), "taken": {words[0]: int(words[2]) for words in lines if len(words) == 3},
            "data": "failed" if content is None else "right" if content == wanted else "wrong"}
    command("nvme", "disconnect", "-n", SUBSYSTEM)
    return found


def asked(tool, device, prefix):
    """What PeerMR says, by number: [whether it is used, whose, why]."""
    words = [*prefix, tool, "nvmet", "check", "--json", *(["--device", device] if device else [])]
    answers = json.loads(command(*words, check=False))["answers"]
    return {answer["namespace"]: [answer["usesPeerMemory"], answer["providers"], answer["code"], answer["rdmaDevice"]]
            for answer in answers}


def main():
    """Answer the question of the first argument into the file of the second."""
    question = json.loads(Path(sys.argv[1]).read_text())
    for function, bits in question["access_control"].items():
        set_access_control(function, bits)
    places = drives(question["drives"])
    noise = random.Random(question["seed"])
    pools = [places[name][0] for name in question["drives"] if (PCI / places[name][0] / "p2pmem").exists()]
    namespaces = []
    for index, name in enumerate(question["drives"]):
        seed = question["seed"] * 1000 + index
        fill(places[name][1], random.Random(seed).randbytes(BYTES))
        namespaces.append({"path": places[name][1], "switch": "1", "seed": seed})
        if pools and noise.random() < 0.4:
            namespaces.append({"path": places[name][1], "switch": noise.choice(pools), "seed": seed})
    command("mountpoint", "-q", "/sys/kernel/config", check=False)
    subprocess.run(["mount", "-t", "configfs", "none", "/sys/kernel/config"], capture_output=True, check=False)
    command("modprobe", "nvmet-rdma")
    command("modprobe", "nvme-rdma")
    command("insmod", question["module"])
    target(question["address"], namespaces)
    clients = {None: None}
    for function in question["hcas"].values():
        clients[os.listdir(PCI / function / "infiniband")[0]] = function
    rounds = []
    for device, function in clients.items():
        said = {who: asked(question["tool"], device, prefix) for who, prefix in (("root", []), ("nobody", NOBODY))}
        rounds.append({"device": device, "function": function, "said": said,
                       "kernel": connect(question["address"], function, namespaces)})
    Path(sys.argv[2]).write_text(json.dumps({
        "release": os.uname().release, "namespaces": namespaces, "rounds": rounds, "drives": places}))


if __name__ == "__main__":
    main()
