# SPDX-License-Identifier: Apache-2.0
"""Other PCI devices' memory for RDMA applications: PeerMR's C library (libpeermr.so.0) in Python, by ctypes.

    import peermr
    from pyverbs.device import Context
    from pyverbs.pd import PD

    print(peermr.check("mlx5_0", "0000:01:00.0").route.reason)
    with Context(name="mlx5_0") as context, PD(context) as pd:
        with peermr.Memory("p2pmem:0000:01:00.0:2M") as memory:
            with memory.register(pd, peermr.Access.LOCAL_WRITE | peermr.Access.REMOTE_WRITE) as region:
                ...                                     # region.lkey, region.rkey, region.io_address

Every failure is a PeerMRError, with the reason and the remedy. Objects are closed by `with`, or by close(): regions
before their memory and their domain. Nothing here is needed per message: post work requests with pyverbs.
"""
from ._library import library
from ._cache import AddressRequest, Arena, Cache, Keys, Lease, Reader, Request
from ._check import Answer, Check, Finding, MapType, Outcome, Route, check, route
from ._errors import PeerMRError, Status
from ._memory import (Access, Kind, Memory, Method, Owner, P2PMem, Proof, ProofState, Region, register_address,
                     register_dmabuf)
from ._tool import doctor, nvmet_check
from ._verbs import Context, ProtectionDomain

__all__ = [
    "Access", "AddressRequest", "Answer", "Arena", "Cache", "Check", "Context", "Finding", "Keys", "Kind", "Lease",
    "MapType", "Memory", "Method", "Outcome", "Owner", "P2PMem", "PeerMRError", "Proof", "ProofState",
    "ProtectionDomain", "Reader", "Region", "Request", "Route", "Status", "check", "doctor", "nvmet_check",
    "register_address", "register_dmabuf", "route", "version",
]


def version() -> str:
    """The version of the library that runs, such as "0.1.0"."""
    return library().peermr_version().decode()
