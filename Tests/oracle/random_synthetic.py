# SPDX-License-Identifier: Apache-2.0
"""Machines in memory, drawn from a seed: what QEMU has no parts for.

ACS on every kind of port and on endpoints, egress control included; host bridges on the kernel's
list and off it; several domains, host bridges that share one, a host bridge below a device as
Intel's VMD hangs it; virtual functions; functions that were plugged in late.
"""
import random
from dataclasses import dataclass, field

from config_space import (DOWNSTREAM, ENDPOINT, INTEGRATED, ROOT_PORT, TO_PCI, UPSTREAM, Function)

# On the kernel's list; on it for pairs below one bridge only; on it in part of the kernels; off it.
_LISTED = [(0x8086, 0x2030), (0x8086, 0x2033), (0x8086, 0x2020), (0x8086, 0x09a2)]
_ALONE = [(0x8086, 0x3c00), (0x8086, 0x3c01), (0x8086, 0x2f00), (0x8086, 0x2f01)]
_NEWER = [(0x8086, 0x0b25), (0x8086, 0x4942), (0x1ae0, 0x1234), (0x10de, 0x2f96)]
_UNLISTED = [(0x8086, 0x29c0), (0x8086, 0x3c02), (0x1022, 0x1480), (0x10de, 0x2f99), (0x1af4, 1)]
_CONTROLS = [0x00, 0x01, 0x10, 0x11, 0x40, 0x02, 0x04, 0x08, 0x20, 0x1d, 0x5d, 0x0c, 0x24, 0x7f]
_HOST, _BRIDGE = 0x060000, 0x060400


@dataclass
class HostBridge:
    """A host bridge with all that is below it."""

    domain: int
    first: int
    last: int
    parent: str = None
    functions: list = field(default_factory=list)

    def order(self):
        """Its first device as the kernel lists them: by number, late ones behind."""
        bus = [item for item in self.functions if item.bus == self.first and not item.is_virtual]
        return min(bus, key=lambda item: (item.is_late, item.device, item.number), default=None)


class _Artist:
    def __init__(self, rng, bridge):
        self.random = rng
        self.bridge = bridge
        self._next = bridge.first + 1
        self.room = rng.randint(3, 9)       # endpoints still to be drawn

    def function(self, bus, device, number=0, **more):
        """Add a function."""
        item = Function(self.bridge.domain, bus, device, number, **more)
        self.bridge.functions.append(item)
        return item

    def control(self, chance):
        """An ACS control word, or none."""
        return self.random.choice(_CONTROLS) if self.random.random() < chance else None

    def port(self, kind, bus, device, number=0, **more):
        """A bridge with something below it."""
        item = self.function(bus, device, number, class_code=_BRIDGE, port=kind,
                             identity=more.pop("identity", (0x1d0f, 0x0100 + kind)),
                             acs=self.control(0.6) if kind in (ROOT_PORT, UPSTREAM, DOWNSTREAM)
                             else None, **more)
        below = self._next
        self._next += 1
        {UPSTREAM: self.downstreams, TO_PCI: self.conventional}.get(kind, self.slot)(below)
        item.buses = (below, self._next - 1)

    def downstreams(self, bus):
        """The ports of a switch, one of them at times a device of several functions."""
        for device in self.random.sample(range(8), self.random.randint(1, 3)):
            self.port(DOWNSTREAM, bus, device)

    def conventional(self, bus):
        """Conventional PCI: no ACS, and no extended configuration space."""
        for device in self.random.sample(range(16), self.random.randint(1, 2)):
            self.function(bus, device, port=None)
            self.room -= 1

    def slot(self, bus):
        """What is plugged in below a port."""
        kind = self.random.random()
        deep = self._next - self.bridge.first > 40
        if kind < 0.3 and self.room > 0 and not deep:
            return self.port(UPSTREAM, bus, 0)
        if kind < 0.37 and not deep:
            return self.port(TO_PCI, bus, 0)
        return self.device(bus)

    def device(self, bus, device=0, kind=ENDPOINT):
        """An endpoint of one function, of several, or with virtual ones."""
        count = self.random.choices([1, 2, 3], [8, 2, 1])[0]
        for number in range(count):
            item = self.function(bus, device, number, port=kind, has_siblings=count > 1,
                                 acs=self.control(0.25), is_short=self.random.random() < 0.1)
            if item.is_short:
                item.acs = None
            self.room -= 1
        if count == 1 and kind == ENDPOINT and bus != self.bridge.first and not item.is_short \
                and self.random.random() < 0.3:
            self.virtuals(item)

    def virtuals(self, physical):
        """Virtual functions, on the bus of the physical one or on the next, which has no bridge."""
        offset = self.random.choice([1, 16, 256])
        physical.virtual = (2, offset, 1)
        if offset == 256:
            self._next += 1
        for number in range(2):
            place = physical.device << 3 | physical.number
            place += offset + number
            self.function(physical.bus + (place >> 8), place >> 3 & 31, place & 7, is_virtual=True,
                          identity=(physical.identity[0], 2), acs=self.control(0.3))

    def root_bus(self):
        """All of it, the first device in front."""
        bus = self.bridge.first
        number = self.random.choice([_LISTED, _LISTED, _ALONE, _NEWER, _UNLISTED])
        identity = self.random.choice(number)
        kind = self.random.random()
        first = 0
        if kind < 0.6:
            self.function(bus, 0, class_code=_HOST, port=self.random.choice([ROOT_PORT, None,
                                                                             INTEGRATED]),
                          identity=identity, is_late=self.random.random() < 0.15)
        elif kind < 0.7:
            self.function(bus, 0, identity=identity, port=INTEGRATED)
        elif kind < 0.8:
            first = 1
            self.port(ROOT_PORT, bus, 1, identity=identity)
        elif kind < 0.9:
            first = 2
            self.function(bus, 2, identity=identity, port=INTEGRATED)
        for device in range(first + 1, 31):
            if self.room <= 0:
                break
            kind = self.random.random()
            if kind < 0.2:
                self.device(bus, device, INTEGRATED)
            elif kind < 0.3:
                self.port(TO_PCI, bus, device)
            elif kind < 0.5:
                for function in range(self.random.randint(2, 3)):
                    self.port(ROOT_PORT, bus, device, function, has_siblings=True)
            else:
                self.port(ROOT_PORT, bus, device)
        self.bridge.last = max(self.bridge.first, self._next - 1)


def forest(seed, here):
    """The host bridges of a seed; `here` is the address of a function that is there already."""
    rng = random.Random(seed)
    bridges, start, domain = [], 0, 1
    for _ in range(rng.randint(2, 6)):
        if bridges and rng.random() < 0.5:
            domain, start = domain + 1, rng.choice([0, 0, 0x20])
        if start > 0x80:
            domain, start = domain + 1, 0
        bridge = HostBridge(domain, start, start)
        if rng.random() < 0.15:
            bridge.domain, bridge.first, bridge.parent = 0x10000 + len(bridges), 0, here
        _Artist(rng, bridge).root_bus()
        bridges.append(bridge)
        if bridge.parent is None:
            start = bridge.last + 1
    return bridges
