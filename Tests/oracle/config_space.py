# SPDX-License-Identifier: Apache-2.0
"""The configuration space of a function that exists in memory only, for the module p2ptree."""
import struct
from dataclasses import dataclass

SPACE = 4096
# Kinds of ports, bits 7 to 4 of the PCI Express capabilities register; conventional PCI has none.
ENDPOINT, ROOT_PORT, UPSTREAM, DOWNSTREAM, TO_PCI, INTEGRATED = 0, 4, 5, 6, 7, 9
BRIDGES = {ROOT_PORT, UPSTREAM, DOWNSTREAM, TO_PCI}


@dataclass
class Function:
    """A function of a drawn machine."""

    domain: int
    bus: int
    device: int
    number: int = 0
    identity: tuple = (0x1d0f, 0x0001)      # vendor, device
    class_code: int = 0x020000
    port: int = ENDPOINT                    # None for conventional PCI
    acs: int = None                         # the control word; None without the capability
    buses: tuple = None                     # of a bridge: the first and the last bus below it
    has_siblings: bool = False
    is_short: bool = False                  # 256 bytes of configuration space
    virtual: tuple = None                   # (count, offset of the first, stride)
    is_virtual: bool = False
    is_late: bool = False                   # plugged in when the rest is there already

    @property
    def address(self):
        """As the kernel writes it."""
        return f"{self.domain:04x}:{self.bus:02x}:{self.device:02x}.{self.number}"

    @property
    def is_bridge(self):
        """Whether it can be neither client nor provider."""
        return 0x0600 <= self.class_code >> 8 <= 0x0609

    def record(self):
        """What the module takes: the place, the bytes, and which of their bits can be written."""
        space, mask = bytearray(SPACE), bytearray(SPACE)
        _put(space, 0, "HH", 0xffff, 0xffff) if self.is_virtual else _put(space, 0, "HH",
                                                                          *self.identity)
        _put(mask, 4, "H", 0x0547)
        space[9:12] = self.class_code.to_bytes(3, "little")
        space[0x0e] = (self.buses is not None) | (0x80 if self.has_siblings else 0)
        if self.buses:
            _put(space, 0x18, "BBB", self.bus, *self.buses)
            _put(mask, 0x18, "BBB", 255, 255, 255)
            _put(space, 0x20, "HH", 0xfff0, 0)      # no window: the base lies above the limit
            _put(mask, 0x3e, "H", 0xffff)
        if self.port is not None:
            self._express(space, mask)
        if self.port is None or self.is_short:
            space[256:] = b"\xff" * (SPACE - 256)
            mask[256:] = bytes(SPACE - 256)
        return struct.pack("=IHH", self.domain, self.bus,
                           self.device << 3 | self.number) + space + mask

    def _express(self, space, mask):
        space[6], space[0x34] = 0x10, 0x40
        _put(space, 0x40, "HH", 0x0010, 2 | self.port << 4)
        _put(mask, 0x48, "H", 0xffff)               # device control
        _put(space, 0x4c, "IHH", 0x11, 0, 0x11)     # a link of one lane, and that is its state
        _put(mask, 0x50, "H", 0xffff)
        # A serial number stands in front, so that the list has to be walked.
        _put(space, 0x100, "III", 0x140 << 20 | 0x10003, 1, 2)
        rest = 0x180 if self.virtual else 0
        if self.acs is None:
            _put(space, 0x140, "I", rest << 20 | 0x10001 if rest else 0)
            if not rest:
                _put(space, 0x100, "I", 0x10003)
        else:
            _put(space, 0x140, "IHH", rest << 20 | 0x1000d, 0x087f, self.acs)
            _put(mask, 0x146, "HI", 0x7f, 0xff)
        if self.virtual:
            count, offset, stride = self.virtual
            _put(space, 0x180, "IIHHHHHHHHHHII", 0x10010, 0, 0, 0, count, count, 0, self.number,
                 offset, stride, 0, 0x0002, 0x553, 1)
            _put(mask, 0x188, "H", 0x1f)
            _put(mask, 0x190, "H", 0xffff)
            _put(mask, 0x1a0, "I", 0x553)


def _put(space, offset, form, *values):
    struct.pack_into("=" + form, space, offset, *values)
