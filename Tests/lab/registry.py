# SPDX-License-Identifier: Apache-2.0
"""Tests, and the settings that they run in."""
from dataclasses import dataclass, field

from peerlab import DRIVE_LAYOUT, HostSpec


class Failure(Exception):
    """What a test found, as one sentence."""


@dataclass
class Setting:
    """Machines that are booted once, for all the tests that name them."""

    name: str
    specs: list
    join: bool = False
    tests: list = field(default_factory=list)


@dataclass
class Test:
    """A function that raises when something is not as its docstring says."""

    name: str
    function: object
    last: bool


_PLAIN_DRIVE = [{"type": "root-port", "children": [{"type": "nvme", "name": "nvme0"}]}]

# Two hosts with Soft-RoCE on one network; the second has a drive with a CMB.
PAIR = Setting("pair", [
    HostSpec("alpha", rdma=True),
    HostSpec("beta", rdma=True, layout=DRIVE_LAYOUT, modules=["nvme", "dummy"]),
], join=True)

# One host without RDMA, whose drive has no CMB.
BARE = Setting("bare", [HostSpec("bare", layout=_PLAIN_DRIVE, modules=["nvme", "veth"])])

# One host on Debian's stable kernel, older than what peer memory needs.
STABLE = Setting("stable", [
    HostSpec("stable", kernel="stable", rdma=True, layout=DRIVE_LAYOUT, modules=["nvme"]),
])

# Functions to bind to vfio-pci behind a vIOMMU: a BAR of memory, one of ports, a drive, and two in
# one group; on the older kernel, which does not export BARs, only the first.
_VIOMMU = ["-machine", "kernel-irqchip=split", "-device", "intel-iommu,intremap=on"]
_SHARED = {"type": "root-port", "children": [{"type": "ivshmem", "name": "shared", "size": 1}]}
EXPORTERS = Setting("exporters", [
    HostSpec("older", kernel="stable", qemu=_VIOMMU, append="intel_iommu=on", layout=[_SHARED],
             modules=["vfio-pci"]),
    HostSpec("exporter", qemu=_VIOMMU, append="intel_iommu=on", modules=["nvme", "vfio-pci"], layout=[
        _SHARED,
        {"type": "root-port", "children": [{"type": "nvme", "name": "disk"}]},
        {"type": "qemu", "device": "pci-testdev", "name": "ports"},
        {"type": "function", "children": [{"type": "ivshmem", "name": "both"},
                                          {"type": "nvme", "name": "busy"}]},
    ]),
])

SETTINGS = [PAIR, BARE, STABLE, EXPORTERS]


def test(setting, last=False):
    """Make a function a test of `setting`; one that is `last` leaves the machines unusable."""
    def register(function):
        name = f"{function.__module__}.{function.__name__}"
        setting.tests.append(Test(name, function, last))
        return function
    return register
