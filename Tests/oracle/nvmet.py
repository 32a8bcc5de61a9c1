# SPDX-License-Identifier: Apache-2.0
"""The kernel's NVMe over Fabrics target against `peermr nvmet check`, on drawn machines with lab HCAs."""
import json
import time
from dataclasses import dataclass, field, replace

import random_qemu
from machine import HERE, scratch
from peerlab import Lab, LabError, modules


def machines(count, first):
    """So many drawn machines that have a lab HCA, from the first seed on."""
    found = []
    while len(found) < count:
        machine = random_qemu.machine(first, has_hcas=True)
        if any(scene.hcas for scene in machine.scenes):
            found.append(replace(machine, name=f"nvmet, {machine.name}"))
        first += 1
    return found


@dataclass
class Outcome:
    """What a machine showed."""

    faults: list = field(default_factory=list)
    pairs: int = 0              # namespaces by RDMA devices
    used: int = 0               # of them, those for which the kernel took p2pmem
    refused: int = 0            # namespaces that the kernel did not enable
    unknown: int = 0            # answers without privilege that are unknown
    seconds: float = 0


def interrogate(machine, programs, progress):
    """Boot the machine, have its target decide, and compare; LabError where that cannot be done."""
    module = modules.module(HERE / "nvmet_client", machine.kernel, progress)
    began = time.monotonic()
    with scratch() as place, Lab() as lab:
        spec = machine.spec(place, programs)
        spec.rdma, spec.share = True, [*spec.share, module.parent]
        host = lab.boot(spec)[0]
        question, answer = place / "question.json", place / "answer.json"
        question.write_text(json.dumps({
            "access_control": {host.bdf(name): bits for scene in machine.scenes
                               for name, bits in scene.access_control.items()},
            "seed": machine.seed, "drives": [name for scene in machine.scenes for name in scene.drives],
            "hcas": {name: host.bdf(name) for scene in machine.scenes for name in scene.hcas},
            "module": str(module), "tool": str(programs / "peermr"), "address": host.address}))
        host.run(["python3", HERE / "nvmet_guest.py", question, answer], timeout=400, check=True)
        outcome = judged(json.loads(answer.read_text()), machine.iommu != "translating IOMMU")
        if outcome.faults:
            outcome.faults.append(machine.layout())
            outcome.faults.append(host.run("lspci -tv").stdout)
        outcome.seconds = time.monotonic() - began
        return outcome


def judged(answer, has_data):
    """Hold what PeerMR said against what the kernel did."""
    outcome = Outcome(refused=sum(not namespace["enabled"] for namespace in answer["namespaces"]))
    for part in answer["rounds"]:
        for number, kernel in part["kernel"].items():
            outcome.pairs += 1
            name = f"{part['device'] or 'rxe0'}, namespace {number} ({answer['namespaces'][int(number) - 1]})"
            outcome.used += kernel["told"] is not None
            outcome.faults += [f"{name}: {fault}" for fault in _kernel(kernel, has_data)]
            for who, said in part["said"].items():
                fault = _compare(said.get(number), kernel, who == "root")
                outcome.faults += [f"{name}, as {who}: {fault}; the kernel: {kernel}"] if fault else []
            outcome.unknown += part["said"]["nobody"].get(number, [0])[0] is None
    if not outcome.pairs:
        raise LabError("The kernel enabled no namespace.")
    return outcome


def _kernel(kernel, has_data):
    """What the log and the pools say has to fit together, and the data has to be right."""
    taken = list(kernel["taken"])
    if taken != ([kernel["told"]] if kernel["told"] else []):
        yield f"the log says {kernel['told']}, and the pools gave {kernel['taken']}"
    if has_data and kernel["data"] != "right":
        yield f"the data is {kernel['data']}"


def _compare(said, kernel, is_root):
    """What is wrong with an answer; None where nothing is."""
    if said is None:
        return "PeerMR says nothing"
    uses, providers, code, _ = said
    if uses is None:
        return f"unknown ({code}), and it can be known" if is_root else None
    if uses != (kernel["told"] is not None):
        return f"PeerMR says {uses} ({code})"
    if uses and kernel["told"] not in providers:
        return f"PeerMR says that it takes that of {providers}"
    return None
