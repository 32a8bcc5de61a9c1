# SPDX-License-Identifier: Apache-2.0
"""Tests, and the settings that they run in."""
from dataclasses import dataclass, field

from peerlab import DRIVE_LAYOUT, HostSpec, elder


class Failure(Exception):
    """What a test found, as one sentence."""


@dataclass
class Setting:
    """Machines that are booted once, for all the tests that name them."""

    name: str
    specs: list
    join: bool = False
    # Gives further directories to share with the machines, when these are about to be booted.
    shares: object = list
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

# One host with both ends of ping-pong, and a drive with a CMB: a processor for each end.
LOOP = Setting("loop", [
    HostSpec("loop", rdma=True, smp=2, layout=DRIVE_LAYOUT, modules=["nvme"]),
], shares=lambda: [elder.elder_root()])

SETTINGS = [PAIR, BARE, STABLE, LOOP]


def test(setting, last=False):
    """Make a function a test of `setting`; one that is `last` leaves the machines unusable."""
    def register(function):
        name = f"{function.__module__}.{function.__name__}"
        setting.tests.append(Test(name, function, last))
        return function
    return register
