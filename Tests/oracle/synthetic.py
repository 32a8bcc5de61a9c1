# SPDX-License-Identifier: Apache-2.0
"""Machines in memory against PeerMR: one guest is booted, and grows one machine after the other."""
import json
import time
from dataclasses import dataclass, field, replace

from compare import Comparison
from random_synthetic import forest
from machine import HERE, IOMMU, UNPRIVILEGED, Testimony, check, routes, scratch
from peerlab import HostSpec, Lab, modules

# Seeds differ in what grows; what it grows on goes round.
_GROUNDS = [("Skylake-Server", "no IOMMU"), ("EPYC", "no IOMMU"), ("Skylake-Server", "iommu=pt"),
            ("Dhyana", "translating IOMMU")]


@dataclass
class Ground:
    """A guest, and the seeds of the machines that grow in it."""

    cpu: str
    iommu: str
    kernel: str
    seeds: list = field(default_factory=list)

    @property
    def title(self):
        """The guest in words."""
        return f"in memory: {self.cpu}, {self.iommu}, kernel {self.kernel}"

    def spec(self, scratch, programs, module):
        """What the lab is to boot. The log has room for a line on each pair."""
        qemu, append = IOMMU[self.iommu]
        return HostSpec("oracle", kernel=self.kernel, cpu=self.cpu, layout=[{"type": "nvme", "name": "here"}],
                        share=[programs, module.parent], writable=[scratch], qemu=list(qemu),
                        append=f"{append} log_buf_len=16M")


def grounds(count, first, kernel):
    """The guests for so many seeds, from `first` on."""
    found = [Ground(*ground, kernel) for ground in _GROUNDS]
    for seed in range(first, first + count):
        found[seed % len(found)].seeds.append(seed)
    return [ground for ground in found if ground.seeds]


class Grown:
    """One machine that grew, with what Machine has that reports ask for."""

    def __init__(self, ground, seed, here):
        self.ground, self.seed = ground, seed
        self.cpu, self.iommu, self.kernel = ground.cpu, ground.iommu, ground.kernel
        self.title = f"{ground.title}: seed {seed}"
        self.bridges = forest(seed, here)
        self._pairs = []

    def answered(self, kernel):
        """Take over the pairs that the kernel was asked for."""
        self._pairs = [("all pairs", pair["provider"], pair["client"]) for pair in kernel["pairs"]]

    def layout(self):
        """The tree, a function on each line, for a report."""
        return "\n".join(str(part) for bridge in self.bridges
                         for part in (replace(bridge, functions=[]), *bridge.functions))

    def pairs(self):
        """Pairs as Machine has them."""
        return self._pairs


def interrogate(ground, programs, progress):
    """Boot a guest and grow its machines; yields a Grown and a Testimony for each."""
    module = modules.module(HERE / "p2ptree", ground.kernel, progress)
    with scratch() as place, Lab() as lab:
        host = lab.boot(ground.spec(place, programs, module))[0]
        host.run(["insmod", module], check=True)
        here = host.bdf("here")
        for seed in ground.seeds:
            began = time.monotonic()
            machine, answer = Grown(ground, seed, here), place / "answer.json"
            host.run(["python3", HERE / "guest_query.py", str(seed), here, answer], timeout=240,
                     check=True)
            kernel = json.loads(answer.read_text())
            machine.answered(kernel)
            privileged, unprivileged = routes(host, programs), routes(host, programs, UNPRIVILEGED)
            checks = check(host, machine, programs, kernel, 4)
            yield machine, Testimony(kernel, privileged, unprivileged, checks,
                                     host.run("lspci -Dtv").stdout, time.monotonic() - began)


class GrownComparison(Comparison):
    """Without privilege, what can be known here depends on the host bridges too."""

    def __init__(self, machine, testimony):
        super().__init__(machine, testimony)
        self._first = {(bridge.domain, bridge.first): bridge.order() for bridge in machine.bridges}
        # Bridges that the kernel let a pair through, by its own record.
        self._open = {self._bus(pair["provider"]) for pair in testimony.kernel["pairs"]
                      if pair["record"] and pair["record"][0] == "throughHostBridge"
                      and self._bus(pair["provider"]) == self._bus(pair["client"])}

    def _bus(self, function):
        path = self._kernel["paths"][function]
        domain, bus = path[path.rindex("/pci") + 4:].split("/")[0].split(":")
        return int(domain, 16), int(bus, 16)

    def _can_be_known(self, pair):
        ends = [self._bus(pair["provider"]), self._bus(pair["client"])]
        # A first device at 00.0 counts whatever it is; of another the kind of port is privileged.
        legible = all(first is None or (first.device, first.number) == (0, 0)
                      for first in (self._first.get(end) for end in ends))
        common = set(self._chain(pair["provider"])) & set(self._chain(pair["client"]))
        if not common or super()._can_be_known(pair):
            return legible or self._machine.cpu.startswith("EPYC")
        return legible and ends[0] in self._open
