# SPDX-License-Identifier: Apache-2.0
"""Memory by specification, p2pmem, and registration of both, of dma-bufs and of addresses."""
import ctypes
import enum
from ctypes import c_int, c_uint64
from dataclasses import dataclass
from typing import Any, Optional, Tuple

from . import _structs
from ._library import call, encoded, known, library, made, text
from ._errors import PeerMRError, Status
from ._verbs import Domain, domain_address


class Access(enum.IntFlag):
    """What a NIC and its peers may do: enum ibv_access_flags. pyverbs' e.IBV_ACCESS_* are the same numbers."""

    LOCAL_WRITE = 1
    REMOTE_WRITE = 2
    REMOTE_READ = 4
    REMOTE_ATOMIC = 8
    RELAXED_ORDERING = 1 << 20


class Kind(enum.Enum):
    """What kind of memory it is."""

    UNKNOWN = 0
    HOST = 1
    P2PMEM = 2
    DMABUF = 3


class Owner(enum.Enum):
    """Whose memory it is, as far as that is known: a driver may hand out the host's as its device's."""

    UNKNOWN = 0
    HOST = 1
    PEER = 2


class Method(enum.Enum):
    """How it was registered."""

    UNKNOWN = 0
    PINNED = 1
    ON_DEMAND = 2
    DMABUF = 3


class ProofState(enum.Enum):
    """The outcome of a proof, and of each direction."""

    UNKNOWN = 0
    PROVEN = 1
    DISPROVEN = 2
    NOT_TESTED = 3


@dataclass(frozen=True)
class Proof:
    """What came of moving data through a region: first_difference is None where no wrong byte was found."""

    state: ProofState
    into_memory: ProofState
    out_of_memory: ProofState
    first_difference: Optional[int]
    length: int
    nanoseconds: int
    reason: str
    owner: Owner


def _options(access: int, bounce: bool, io_address: Optional[int], provider: Optional[str],
             widen: bool = False) -> Any:
    return ctypes.byref(_structs.Options(
        access=int(access), fallback=int(bounce), flags=(io_address is not None) | (2 if widen else 0),
        io_address=io_address or 0, provider_bdf=encoded(provider) if provider else None))


class Handle:
    """What the library holds for the program, until it is closed. Use `with`, or call close()."""

    _end = ""
    _what = "this object"

    # Until one was made, as when making it fails.
    _handle = 0

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @property
    def handle(self) -> int:
        """The library's number for it."""
        if not self._handle:
            raise PeerMRError(Status.INVALID_ARGUMENT, f"{self._what} is closed")
        return self._handle

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return not self._handle

    def close(self) -> None:
        """End it; BUSY, and it stays open, while something depends on it. Nothing happens the second time."""
        if self._handle:
            call(self._end, self._handle)
            self._handle = 0

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Nobody is left to be told; at the end of the process the modules may be gone.
        try:
            self.close()
        except Exception:       # pylint: disable=broad-except
            pass


class Region(Handle):
    """Memory registered on an RDMA device, with what work requests need of it."""

    _end = "peermr_deregister"
    _what = "the region"

    def __init__(self, handle: int, *holds: Any) -> None:
        super().__init__(handle)
        # The memory, and the domain, are not to be collected before it.
        self._holds = holds
        info = _structs.RegionInfo()
        call("peermr_region_info", handle, ctypes.byref(info))
        self.kind: Kind = known(Kind, info.kind)
        self.method: Method = known(Method, info.method)
        self.owner: Owner = known(Owner, info.owner)
        self.lkey, self.rkey = int(info.lkey), int(info.rkey)
        self.io_address, self.length = int(info.io_address), int(info.length)
        self.address: Optional[int] = info.address
        self.alignment, self.path_mtu = int(info.alignment), int(info.path_mtu)
        self.bounced, self.bounce_reason = bool(info.bounced), text(info.bounce_reason)
        self.slack: Tuple[int, int] = (int(info.slack_before), int(info.slack_after))
        self.nanoseconds = int(info.nanoseconds)
        self.provider, self.reason = text(info.provider_bdf), text(info.reason)

    @property
    def mr(self) -> int:
        """Where the ibv_mr is, for other libraries; it belongs to the region."""
        return library().peermr_region_mr(self.handle)

    def prove(self, length: int = 0, timeout_milliseconds: int = 0) -> Proof:
        """Move random bytes both ways, and compare them on the memory's side; see peermr_prove(3)."""
        out = _structs.Proof()
        call("peermr_prove", self.handle, length, timeout_milliseconds, ctypes.byref(out))
        return Proof(known(ProofState, out.state), known(ProofState, out.into_memory),
                     known(ProofState, out.out_of_memory),
                     out.first_difference if out.first_difference >= 0 else None, out.length, out.nanoseconds,
                     text(out.reason), known(Owner, out.owner))


class Memory(Handle):
    """Memory by its specification, as for the peermr tool: `Memory("vfio:0000:03:00.0:2")`; see peermr_memory_open(3).

    Close it after its regions. Memory of an RDMA device, `nic:SIZE`, is pyverbs': DM and DMMR.
    """

    _end = "peermr_memory_close"
    _what = "the memory"

    def __init__(self, specification: str) -> None:
        super().__init__(made("peermr_memory_open", encoded(specification)))
        info = _structs.MemoryInfo()
        call("peermr_memory_info", self._handle, ctypes.byref(info))
        self.kind: Kind = known(Kind, info.kind)
        self.owner: Owner = known(Owner, info.owner)
        self.length = int(info.length)
        self.address: Optional[int] = info.address
        self.has_dmabuf = bool(info.has_dmabuf)
        self.provider, self.exporter = text(info.provider_bdf), text(info.exporter)
        self.specification = text(info.specification)

    def dmabuf(self) -> Tuple[int, int]:
        """A descriptor of its dma-buf, which is the caller's to close (os.close), and where the memory begins in it."""
        descriptor, offset = c_int(-1), c_uint64()
        call("peermr_memory_dmabuf", self.handle, ctypes.byref(descriptor), ctypes.byref(offset))
        return descriptor.value, offset.value

    def read(self, offset: int = 0, length: Optional[int] = None) -> bytes:
        """Bytes of it by the owner's means; all from the offset on where no length is given."""
        count = max(0, self.length - offset) if length is None else length
        _natural(offset, count)
        bytes_ = (ctypes.c_ubyte * max(1, count))()
        call("peermr_memory_read", self.handle, offset, bytes_, count)
        return bytes(bytes_[:count])

    def write(self, data: bytes, offset: int = 0) -> None:
        """Put bytes into it by the owner's means."""
        _natural(offset, 0)
        call("peermr_memory_write", self.handle, offset, ctypes.c_char_p(bytes(data)), len(data))

    def register(self, domain: Domain, access: int = Access.LOCAL_WRITE, *, offset: int = 0, length: int = 0,
                 bounce: bool = False, io_address: Optional[int] = None, provider: Optional[str] = None) -> Region:
        """Register it, or a range of it (length 0: all from the offset on), with the method that works.

        domain: a pyverbs PD, a ProtectionDomain, or an address of an ibv_pd. bounce: take host memory instead where it
        cannot be registered. io_address, provider: of dma-bufs; see struct peermr_options.
        """
        _natural(offset, length)
        return Region(made("peermr_register_memory", domain_address(domain), self.handle, offset, length,
                           _options(access, bounce, io_address, provider)), self, domain)


class P2PMem(Handle):
    """Peer-to-peer memory of a PCI function (an NVMe controller memory buffer), mapped and wiped."""

    _end = "peermr_p2pmem_free"
    _what = "the p2pmem"

    def __init__(self, provider: str, length: int) -> None:
        _natural(0, length)
        super().__init__(made("peermr_p2pmem_allocate", encoded(provider), length))
        self.provider = provider

    @property
    def address(self) -> int:
        """Where it is mapped; the CPU reaches it over PCIe, uncached."""
        return library().peermr_p2pmem_address(self.handle)

    @property
    def length(self) -> int:
        """Its length in bytes: whole pages."""
        return library().peermr_p2pmem_length(self.handle)

    def register(self, domain: Domain, access: int = Access.LOCAL_WRITE, *, bounce: bool = False) -> Region:
        """Register it; see Memory.register()."""
        return Region(made("peermr_register_p2pmem", domain_address(domain), self.handle,
                           _options(access, bounce, None, None)), self, domain)


def register_dmabuf(domain: Domain, descriptor: int, offset: int, length: int, access: int = Access.LOCAL_WRITE, *,
                    bounce: bool = False, io_address: Optional[int] = None, provider: Optional[str] = None) -> Region:
    """Register a part of a dma-buf by its descriptor, which stays the caller's; see peermr_register_dmabuf(3)."""
    _natural(offset, length)
    return Region(made("peermr_register_dmabuf", domain_address(domain), _descriptor(descriptor), offset, length,
                       _options(access, bounce, io_address, provider)), domain)


def register_address(domain: Domain, address: int, length: int, access: int = Access.LOCAL_WRITE, *,
                     bounce: bool = False, owner: Any = None) -> Region:
    """Register memory of this process; see peermr_register_address(3).

    It has to stay mapped until the region is closed: owner is an object that the region keeps, such as the mmap.
    """
    _natural(address, length)
    return Region(made("peermr_register_address", domain_address(domain), address, length,
                       _options(access, bounce, None, None)), domain, owner)


def _natural(*values: int) -> None:
    """ctypes would wrap a negative number around."""
    for value in values:
        if not 0 <= value < 1 << 64:
            raise PeerMRError(Status.INVALID_ARGUMENT, f"{value} is no number of bytes", "pass one from 0 on")


def _descriptor(value: int) -> int:
    """ctypes would cut a large number down to another descriptor's."""
    if not 0 <= value < 1 << 31:
        raise PeerMRError(Status.INVALID_ARGUMENT, f"{value} is no descriptor", "pass an open one")
    return value
