# SPDX-License-Identifier: Apache-2.0
"""PCI layouts: a tree of nodes, as a user writes it, turned into QEMU's arguments.

Every device gets its address here and not by QEMU, so the address at which the guest will find a
named node is known beforehand up to the bus numbers, which the guest's sysfs tells.
"""
import os
import re
from pathlib import Path

from .errors import LabError

# One NVMe drive with a controller memory buffer behind a root port of its own.
DRIVE_LAYOUT = [{"type": "root-port", "children": [{"type": "nvme", "name": "nvme0", "cmb": 64}]}]

_COMMON = {"type", "name", "addr", "options"}
_KEYS = {
    "root-port": {"children"},
    "switch": {"children"},
    "host-bridge": {"children", "bus"},
    "nvme": {"cmb", "drive", "serial"},
    "edu": set(),
    "ivshmem": {"size"},
    "function": {"children"},
    "bridge": {"children", "device"},
    "qemu": {"device"},
}
_FIRST_SLOT, _LAST_SLOT = 2, 0x1a      # of the root bus; the lab's own devices stand above


class Layout:
    """QEMU's arguments for a layout, where its named nodes are, and which files are its drives and their logs."""

    def __init__(self, nodes, directory):
        self.arguments = []
        self.places = {}
        self.drives = {}
        self.logs = {}
        self._directory = Path(directory)
        self._count = 0
        self._bridge_bus = 0x40
        self._children(nodes or [], "pcie.0", "/sys/devices/pci0000:00/0000:00:", _FIRST_SLOT)

    def _children(self, nodes, bus, prefix, slot, last=_LAST_SLOT):
        """Add `nodes` to `bus`, each in its own slot, from `slot` up where it names none."""
        if not isinstance(nodes, list):
            raise LabError(f"A PCI layout is a list of nodes, but this is there: {nodes!r}")
        taken = {_slot(node["addr"]) for node in nodes if "addr" in _checked(node)}
        for node in nodes:
            address = node.get("addr")
            if address is None:
                while slot in taken:
                    slot += 1
                address, taken = f"{slot:x}", taken | {slot}
            if _slot(address) > last:
                raise LabError(f"The PCI layout has no room at slot {address} of {bus}: slots up "
                               f"to {last:x} can be used; put devices behind a switch.")
            if node["type"] == "function":
                self._functions(node, bus, prefix, address)
            else:
                self._node(node, bus, prefix, address)

    def _functions(self, group, bus, prefix, address):
        """Functions of one device: the children stand in functions 0, 1, 2, ... of one slot."""
        for index, child in enumerate(group.get("children", [])):
            options = {**_checked(child).get("options", {})}
            if index == 0:
                options["multifunction"] = True
            self._node({**child, "options": options}, bus, prefix, f"{address}.{index}")

    def _node(self, node, bus, prefix, address):
        self._count += 1
        name = node.get("name") or f"{node['type']}{self._count}"
        if name in self.places or not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", name):
            raise LabError(f"The PCI layout has a node named {name!r}: names are used once, start "
                           "with a letter, and go on with letters, digits and . _ -")
        slot, _, function = address.partition(".")
        path = f"{prefix}{int(slot, 16):02x}.{int(function or '0', 16)}"
        self.places[name] = path
        add = getattr(self, "_" + node["type"].replace("-", "_"))
        add(node, name, f"bus={bus},addr={address}", path)

    def _device(self, driver, name, place, node, *properties):
        options = [f"{key}={_value(value)}" for key, value in node.get("options", {}).items()]
        parts = [driver, f"id={name}", place, *properties, *options]
        self.arguments += ["-device", ",".join(parts)]

    def _port_numbers(self):
        """Numbers that tell this port from every other, as PCIe wants them."""
        return f"chassis={self._count},slot={self._count}"

    def _root_port(self, node, name, place, path):
        self._device("pcie-root-port", name, place, node, self._port_numbers())
        self._children(node.get("children", []), name, path + "/*:", 0, last=0)

    def _switch(self, node, name, place, path):
        if "bus=pcie.0," in place:
            # A switch hangs below a root port; give one that is put on the root bus its own.
            port = f"{name}-port"
            self._device("pcie-root-port", port, place, {}, self._port_numbers())
            self.places[port] = path
            self._count += 1
            place, path = f"bus={port},addr=0", path + "/*:00.0"
            self.places[name] = path
        self._device("x3130-upstream", name, place, node)
        for index, child in enumerate(node.get("children", [])):
            self._count += 1
            port = f"{name}.{index}"
            below = f"{path}/*:{index:02x}.0"
            self.places[port] = below
            self._device("xio3130-downstream", port, f"bus={name},addr={index:x}", {},
                         self._port_numbers())
            self._children([child], port, below + "/*:", 0, last=0)

    def _host_bridge(self, node, name, place, path):
        number = node.get("bus", self._bridge_bus)
        self._bridge_bus = number + 0x20
        self._device("pxb-pcie", name, place, node, f"bus_nr={number}")
        self._children(node.get("children", []), name,
                       f"/sys/devices/pci0000:{number:02x}/0000:{number:02x}:", 0)

    def _nvme(self, node, name, place, path):
        drive = node.get("drive", {})
        file = Path(drive.get("path") or self._directory / f"{name}.img")
        if not file.exists():
            with open(file, "wb") as image:
                image.truncate(drive.get("size", 256) << 20)
        self.drives[name] = file
        self.arguments += ["-drive", f"if=none,id={name}-drive,format=raw,discard=unmap,"
                           + self._storage(name, file, drive)]
        memory = [f"cmb_size_mb={node['cmb']}"] if node.get("cmb") else []
        serial = _value(node.get("serial", name))
        self._device("nvme", name, place, node, f"drive={name}-drive", f"serial={serial}", *memory)

    def _storage(self, name, file, drive):
        """Where a drive's bytes are, as QEMU's options, below what fails requests or writes them down."""
        place = options = ""
        if drive.get("faults") or drive.get("log"):
            # It can hold requests back, too: see Host.hold_flushes.
            options += ",file.driver=blkdebug"
            for number, fault in enumerate(drive.get("faults", [])):
                options += "".join(f",file.inject-error.{number}.{key}={_value(value)}" for key, value in fault.items())
            place = ".image"
        if drive.get("log"):
            # It belongs to the run, and the image may be the user's.
            self.logs[name] = self._directory / f"{name}.log"
            self.logs[name].touch()
            options += (f",file{place}.driver=blklogwrites,file{place}.log.driver=file"
                        f",file{place}.log.filename={_value(self.logs[name])}"
                        f",file{place}.log-super-update-interval=1")
            place += ".file"
        return f"file{place}.driver=file,file{place}.filename={_value(os.path.abspath(file))}{options}"

    def _edu(self, node, name, place, path):
        # Of itself it has 28 address lines, and drops all higher bits without a word.
        mask = [] if "dma_mask" in node.get("options", {}) else ["dma_mask=0xffffffffffffffff"]
        self._device("edu", name, place, node, *mask)

    def _ivshmem(self, node, name, place, path):
        self.arguments += ["-object", f"memory-backend-ram,id={name}-memory,share=on,"
                           f"size={node.get('size', 1)}M"]
        self._device("ivshmem-plain", name, place, node, f"memdev={name}-memory")

    def _bridge(self, node, name, place, path):
        self._device(node.get("device", ""), name, place, node)
        self._children(node.get("children", []), name, path + "/*:", 0, last=0x1f)

    def _qemu(self, node, name, place, path):
        self._device(node.get("device", ""), name, place, node)


def _checked(node):
    """The node itself, if its type and keys are ones that a layout has."""
    kind = node.get("type") if isinstance(node, dict) else None
    if kind not in _KEYS:
        raise LabError(f"A PCI layout has a node of unknown type: {node!r}. Types are: "
                       + ", ".join(_KEYS))
    if unknown := set(node) - _COMMON - _KEYS[kind]:
        raise LabError(f"A PCI layout's {kind} has no {', '.join(sorted(unknown))}; it has: "
                       + ", ".join(sorted(_COMMON | _KEYS[kind])))
    return node


def _slot(address):
    """The slot number of an address as lspci writes it, such as 3 or 1a.1."""
    if not re.fullmatch(r"[01]?[0-9a-f](\.[0-7])?", str(address)):
        raise LabError(f"{address!r} is no PCI address; write it as slot or slot.function in "
                       "hexadecimal, such as 3 or 1a.1.")
    return int(str(address).split(".")[0], 16)


def _value(value):
    """A value inside one of QEMU's comma-separated options."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value).replace(",", ",,")
