# SPDX-License-Identifier: Apache-2.0
"""Tests, and the settings that they run in."""
from dataclasses import dataclass, field

from peerlab import BUILT, DRIVE_LAYOUT, HostSpec, legacy_debian


class Failure(Exception):
    """What a test found, as one sentence."""


@dataclass
class Setting:
    """Machines that are booted once, for all the tests that name them."""

    name: str
    specs: list
    join: bool = False
    # How many jobs its tests are dealt out to, each with machines of its own.
    jobs: int = 1
    # Gives further directories to share with the machines, when these are about to be booted.
    shares: object = list
    tests: list = field(default_factory=list)


@dataclass
class Test:
    """A function that raises when something is not as its docstring says."""

    name: str
    function: object
    last: bool
    long: bool


_PLAIN_DRIVE = [{"type": "root-port", "children": [{"type": "nvme", "name": "nvme0"}]}]

# Two hosts with Soft-RoCE on one network; the second has a drive with a CMB.
PAIR = Setting("pair", [
    HostSpec("alpha", rdma=True),
    HostSpec("beta", rdma=True, layout=DRIVE_LAYOUT, modules=["nvme", "dummy"]),
], join=True, jobs=4)

# One host without RDMA, whose drive has no CMB.
BARE = Setting("bare", [HostSpec("bare", layout=_PLAIN_DRIVE, modules=["nvme", "veth"])])

# One host with room to register a GiB, as it is and populated, by one processor or two.
LARGE = Setting("large", [HostSpec("large", rdma=True, smp=2, memory_mib=3584, layout=_PLAIN_DRIVE, modules=["nvme"])])

# One host on Debian's stable kernel, older than what peer memory needs.
STABLE = Setting("stable", [
    HostSpec("stable", kernel="stable", rdma=True, layout=DRIVE_LAYOUT, modules=["nvme"]),
])

# One host with both ends of ping-pong, and a drive with a CMB: a processor for each end.
LOOP = Setting("loop", [
    HostSpec("loop", rdma=True, smp=2, layout=DRIVE_LAYOUT, modules=["nvme"]),
], jobs=2, shares=lambda: [legacy_debian.legacy_root()])

# Functions to bind to vfio-pci behind a vIOMMU: a BAR of memory, one of ports, a drive, and two in
# one group; on the older kernel, which does not export BARs, only the first.
_SHARED = {"type": "root-port", "children": [{"type": "ivshmem", "name": "shared", "size": 1}]}
EXPORTERS = Setting("exporters", [
    HostSpec("older", kernel="stable", iommu="translated", modules=["vfio-pci"], layout=[_SHARED]),
    HostSpec("exporter", iommu="translated", modules=["nvme", "vfio-pci"], layout=[
        _SHARED,
        {"type": "root-port", "children": [{"type": "nvme", "name": "disk"}]},
        {"type": "qemu", "device": "pci-testdev", "name": "ports"},
        {"type": "function", "children": [{"type": "ivshmem", "name": "both"},
                                          {"type": "nvme", "name": "busy"}]},
    ]),
])

# One host with drives in several places, for the tool. Its processor is off the kernel's list.
TOOL = Setting("tool", [HostSpec("tool", cpu="Skylake-Server", rdma=True, modules=["nvme"], layout=[
    {"type": "root-port", "name": "top", "children": [{"type": "switch", "children": [
        {"type": "nvme", "name": "near", "cmb": 16}, {"type": "nvme", "name": "mate"}]}]},
    {"type": "root-port", "children": [{"type": "function", "children": [
        {"type": "nvme", "name": "twin", "cmb": 16}, {"type": "nvme", "name": "far"}]}]},
    {"type": "nvme", "name": "alone"},
])])

# One host three times, with an IOMMU, for which the kernel switches ACS redirection on: as it is, and
# booted with each form of what doctor says for its two root ports.
_REDIRECTED = {
    "cpu": "Skylake-Server", "modules": ["nvme", "vfio-pci"], "iommu": "passthrough", "labhca": True,
    "layout": [
        {"type": "root-port", "name": "joint", "addr": "05", "children": [
            {"type": "function", "children": [{"type": "nvme", "name": "one", "cmb": 16},
                                              {"type": "nvme", "name": "two"},
                                              {"type": "edu", "name": "hca"}]}]},
        {"type": "root-port", "name": "other", "addr": "06", "children": [
            {"type": "function", "children": [{"type": "nvme", "name": "three", "cmb": 16},
                                              {"type": "edu", "name": "second"}]}]}]}
ACS = Setting("acs", [
    HostSpec("before", **_REDIRECTED),
    HostSpec("bits", append="pci=config_acs=x0100x1@0000:00:05.0;x0100x1@0000:00:06.0", **_REDIRECTED),
    HostSpec("after", append="pci=disable_acs_redir=0000:00:05.0;0000:00:06.0", **_REDIRECTED),
])

# One host with the lab HCA, and memory of other functions and of drives: behind its switch, and behind
# root ports of their own, which the host bridge of an Intel processor does not join.
_SWITCH = {"type": "switch", "name": "switch", "children": [
    {"type": "edu", "name": "hca"}, {"type": "ivshmem", "name": "near", "size": 2}]}
_HCA_AND_PEERS = [
    {**_SWITCH, "children": [*_SWITCH["children"], {"type": "nvme", "name": "near-drive", "cmb": 16}]},
    {"type": "root-port", "children": [{"type": "function", "children": [
        {"type": "ivshmem", "name": "far", "size": 2}, {"type": "ivshmem", "name": "mate", "size": 2}]}]},
    {"type": "root-port", "children": [{"type": "nvme", "name": "far-drive", "cmb": 16}]},
    # As QEMU makes it when nothing is said: it cannot address all memory.
    {"type": "edu", "name": "narrow", "options": {"dma_mask": 0xfffffff}},
]
HCA = Setting("hca", [HostSpec("hca", cpu="Skylake-Server", iommu="passthrough", labhca=True,
                               modules=["nvme"], layout=_HCA_AND_PEERS)], jobs=2)

# The same with an AMD processor, whose host bridge joins them, an IOMMU that translates, and a display; with libfabric.
HCA_AMD = Setting("hca-amd", [
    HostSpec("hca", cpu="EPYC", iommu="translated", labhca=True, engines=True, modules=["nvme", "bochs"],
             layout=[*_HCA_AND_PEERS, {"type": "qemu", "device": "bochs-display", "name": "display"}])])

# Memory of every kind on one host whose clock counts instructions.
COUNTED = Setting("counted", [
    HostSpec("counted", cpu="Skylake-Server", iommu="passthrough", labhca=True, rdma=True, counts=True,
             modules=["nvme"], layout=[_SWITCH] + DRIVE_LAYOUT)])

# Pools of p2pmem, and a lab HCA as their client, on a kernel that maps on-demand regions without a check: on Intel,
# where root ports are not joined, with and without an IOMMU that translates, and on AMD, where they are.
_POOLS = [
    {"type": "switch", "name": "switch", "children": [
        {"type": "edu", "name": "hca"}, {"type": "nvme", "name": "near", "cmb": 16}, {"type": "nvme", "name": "mate"}]},
    {"type": "root-port", "children": [{"type": "nvme", "name": "far", "cmb": 16}]},
]
_UNCHECKED = {"kernel": BUILT, "labhca": True, "rdma": True, "modules": ["nvme"], "layout": _POOLS}
UNCHECKED = Setting("unchecked", [
    HostSpec("intel", cpu="Skylake-Server", **_UNCHECKED),
    HostSpec("intel-translated", cpu="Skylake-Server", iommu="translated", **_UNCHECKED),
    HostSpec("amd-translated", cpu="EPYC", iommu="translated", **_UNCHECKED),
    HostSpec("amd", cpu="EPYC", **_UNCHECKED),
], join=True)

# One host with both ends of nic-to-nvme: a drive that works, and one that fails each flush, writes of one block and
# reads of another.
FAULTS = Setting("faults", [
    HostSpec("faults", rdma=True, smp=2, modules=["nvme"], layout=[
        {"type": "root-port", "children": [{"type": "nvme", "name": "good", "cmb": 64}]},
        {"type": "root-port", "children": [{"type": "nvme", "name": "bad", "cmb": 64, "drive": {"faults": [
            {"event": "none", "iotype": "flush", "errno": 5, "once": False},
            {"event": "none", "iotype": "write", "sector": 131072, "errno": 5, "once": False},
            {"event": "none", "iotype": "read", "sector": 204800, "errno": 5, "once": False}]}}]},
    ]),
])

# Two hosts; the drive keeps a log of what it was told, and fails writes of one block and reads of another.
CYCLES = Setting("cycles", [
    HostSpec("alpha", rdma=True),
    HostSpec("beta", rdma=True, modules=["nvme"], layout=[
        {"type": "root-port", "children": [{"type": "nvme", "name": "nvme0", "cmb": 64, "drive": {
            "log": True, "faults": [
                {"event": "none", "iotype": "write", "sector": 96 << 10, "errno": 5, "once": False},
                {"event": "none", "iotype": "read", "sector": 112 << 10, "errno": 5, "once": False}]}}]}]),
], join=True)

# Two hosts with what RDMA applications sit on; the second has the drive.
ENGINES = Setting("engines", [
    HostSpec("alpha", rdma=True, engines=True),
    HostSpec("beta", rdma=True, engines=True, layout=DRIVE_LAYOUT, modules=["nvme"]),
], join=True)

# The longest first: what ends a run is then short, and no processor waits long for another.
SETTINGS = [
    LOOP, PAIR, ENGINES, FAULTS, CYCLES, HCA, TOOL, EXPORTERS, LARGE, BARE, HCA_AMD, COUNTED, STABLE, ACS, UNCHECKED,
]


def test(setting, last=False, long=False):
    """Make a function a test of `setting`.

    One that is `last` leaves the machines unusable for those that are not, or less so (a number). One that is `long`
    runs only when long ones are asked for.
    """
    def register(function):
        name = f"{function.__module__}.{function.__name__}"
        setting.tests.append(Test(name, function, last, long))
        return function
    return register
