# SPDX-License-Identifier: Apache-2.0
"""Random topologies: the same seed gives the same machine."""
import random

from machine import IOMMU, Machine
from fixed_topologies import Scene, functions, hca, nvme, root_port, switch, upstream

# AMD from family 17h on is allowed by its processor; Hygon (Dhyana), older AMD and Intel are not.
_CPUS = ["Skylake-Server", "Skylake-Server", "EPYC", "EPYC", "EPYC-Milan", "Dhyana", "Opteron_G5",
         "Denverton", "max"]
_CONTROLS = [0x04, 0x08, 0x0c, 0x1d, 0x5d, 0x11, 0x01, 0x40, 0x00]
_MOST_DRIVES = 12
_MOST_HCAS = 4


class _Artist:
    """Draws nodes, and keeps count of what it has drawn."""

    def __init__(self, seed, has_hcas=False):
        self.random = random.Random(seed)
        self.has_hcas = has_hcas
        self.drives = []
        self.hcas = []
        self.access_control = {}
        self._ports = 0

    @property
    def is_full(self):
        """Whether there are drives enough for one machine."""
        return len(self.drives) >= _MOST_DRIVES

    def drive(self, **more):
        """A drive; now and then one without memory of its own: it is a client only. Or an HCA."""
        if self.has_hcas and len(self.hcas) < _MOST_HCAS and self.random.random() < 0.35:
            self.hcas.append(f"h{len(self.hcas)}")
            return hca(self.hcas[-1], **more)
        name = f"d{len(self.drives)}"
        node = nvme(name, **more)
        if self.random.random() < 0.15:
            del node["cmb"]
        self.drives.append(name)
        return node

    def port(self, *children):
        """A root port, or one that stands in for another kind, at times with ACS."""
        node = root_port(*children)
        if self.random.random() < 0.4:
            self._ports += 1
            node["name"] = f"port{self._ports}"
            self.access_control[node["name"]] = self.random.choice(_CONTROLS)
        return node

    def device(self):
        """One drive, or several as functions of one device."""
        if self.random.random() < 0.75:
            return self.drive()
        return functions(*(self.drive() for _ in range(self.random.randint(2, 3))))

    def below(self, depth):
        """What hangs below a port."""
        kind = self.random.random()
        if depth >= 4 or kind < 0.45 or self.is_full:
            return self.device()
        count = self.random.randint(1, 3)
        if kind < 0.6:
            return switch(*(self.below(depth + 1) for _ in range(count)))
        if kind < 0.8:
            return upstream(*(self.port(self.below(depth + 1)) for _ in range(count)))
        if kind < 0.92:
            return functions(*(self.port(self.below(depth + 1)) for _ in range(count)))
        return self.port(self.below(depth + 1))

    def conventional(self, depth=0):
        """A bridge to conventional PCI, at times with another below it."""
        children = [self.drive(addr=f"{slot}") for slot in range(1, self.random.randint(2, 4))]
        if depth == 0 and self.random.random() < 0.3:
            inner = self.conventional(1)
            inner["device"], inner["addr"] = "pci-bridge", "7"
            inner["options"] = {"chassis_nr": 250}
            children.append(inner)
        return {"type": "bridge", "device": "pcie-pci-bridge", "children": children}

    def on_root_bus(self):
        """One piece of the tree."""
        kind = self.random.random()
        if kind < 0.15:
            return self.device()
        if kind < 0.25:
            return self.conventional()
        if kind < 0.4:
            ports = [self.port(self.below(1)) for _ in range(self.random.randint(1, 3))]
            return {"type": "host-bridge", "children": ports}
        if kind < 0.5:
            return functions(*(self.port(self.below(1)) for _ in range(self.random.randint(2, 3))))
        return self.port(self.below(1))

    def tree(self):
        """All of a machine's nodes."""
        nodes = []
        while len(self.drives) < 5 or (not self.is_full and self.random.random() < 0.8):
            nodes.append(self.on_root_bus())
        return nodes


def machine(seed, has_hcas=False):
    """The machine of a seed; another one with HCAs."""
    artist = _Artist(seed, has_hcas)
    iommu = artist.random.choices(list(IOMMU), [6, 3, 2])[0]
    cpu = artist.random.choice(_CPUS)
    nodes = artist.tree()
    scene = Scene("all pairs", nodes, artist.drives, artist.access_control, artist.hcas)
    return Machine(f"seed {seed} with HCAs" if has_hcas else f"seed {seed}", cpu=cpu, iommu=iommu, scenes=[scene], seed=seed)
