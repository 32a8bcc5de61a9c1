# SPDX-License-Identifier: Apache-2.0
"""Regions that stay registered, and are found by what the memory is; see peermr_cache_lease(3)."""
import ctypes
from ctypes import c_uint64, c_void_p
from typing import Any, Dict, Optional, Sequence, Union

from . import _structs
from ._errors import PeerMRError, Status
from ._library import call, encoded, made
from ._memory import Access, Handle, P2PMem, _descriptor, _natural, _options
from ._verbs import Domain, domain_address


_ALL = (1 << 64) - 1


class Keys:
    """What work requests need of a range that a Reader has found; good until the reader's advance().

    Attributes: io_address, length, lkey, rkey, alignment, path_mtu, as in a Region.
    """

    def __init__(self, lease: _structs.Lease) -> None:
        self.io_address, self.length = int(lease.io_address), int(lease.length)
        self.lkey, self.rkey = int(lease.lkey), int(lease.rkey)
        self.alignment, self.path_mtu = int(lease.alignment), int(lease.path_mtu)


class Lease(Keys):
    """Keys of a range, good until it is given back: release(), or `with`.

    Attributes: io_address, length, lkey, rkey, alignment, path_mtu, as in a Region.
    """

    def __init__(self, request: "_Request", offset: int, length: int, function: str = "peermr_cache_lease") -> None:
        _natural(offset, length)
        self._request, self._lease = request, _structs.Lease()
        call(function, request.handle, offset, length, ctypes.byref(self._lease))
        super().__init__(self._lease)

    def release(self) -> None:
        """Give it back, when no work request that uses its keys is outstanding; a second time is an error."""
        call("peermr_lease_release", ctypes.byref(self._lease))

    def invalidate(self) -> None:
        """End its region: a completion had an error. The lease is still to be given back."""
        call("peermr_lease_invalidate", ctypes.byref(self._lease))

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class _Request(Handle):
    """Keeps what it is a request of."""

    _what = "the request"

    def __init__(self, handle: int, *holds: Any) -> None:
        super().__init__(handle)
        self._holds = holds


class Request(_Request):
    """A memory, a domain and rights, looked up once for many leases. Made by a Cache."""

    _end = "peermr_request_free"

    def lease(self, offset: int, length: int) -> Lease:
        """A region that has this range of the memory: one of the cache, or one that is registered now."""
        return Lease(self, offset, length)


class AddressRequest(_Request):
    """A domain and rights, for leases of whatever is mapped at an address. Made by a Cache."""

    _end = "peermr_address_request_free"

    def lease(self, address: int, length: int) -> Lease:
        """A region that has these addresses of the process: p2pmem, a dma-buf, or memory of the request's arenas."""
        return Lease(self, address, length, "peermr_cache_lease_address")


class Reader(Handle):
    """One thread's own way into a cache, which finds regions and registers none. Made by a Cache.

    What it has found stays registered until advance(), whatever ends meanwhile. It is for the thread that made it, but
    for close(). Here it saves giving leases back; the call into the library costs more than either lookup.
    """

    _end = "peermr_reader_free"
    _what = "the reader"

    def __init__(self, cache: "Cache") -> None:
        super().__init__(made("peermr_reader_create", cache.handle))
        self._cache = cache

    def find(self, request: Request, offset: int, length: int) -> Optional[Keys]:
        """Keys of a range, where a region of the cache has it; None where none has: Request.lease() registers one."""
        _natural(offset, length)
        found = _structs.Lease()
        try:
            call("peermr_reader_find", self.handle, request.handle, offset, length, ctypes.byref(found))
        except PeerMRError as error:
            if error.code is Status.NOT_FOUND:
                return None
            raise
        return Keys(found)

    def advance(self) -> None:
        """Let go of all that was found, often, where no work request that uses such keys is outstanding."""
        call("peermr_reader_advance", self.handle)


class Arena(Handle):
    """Host memory that regions of caches may be of: as long as it lives, the address means this memory.

    owner: an object that the arena keeps, such as the mmap or the array that the memory belongs to.
    """

    _end = "peermr_arena_free"
    _what = "the arena"

    def __init__(self, address: int, length: int, owner: Any = None) -> None:
        _natural(address, length)
        super().__init__(made("peermr_arena_create", address, length))
        self.address, self.length, self._owner = address, length, owner


class Cache(Handle):
    """Regions that stay registered. Close it after its requests."""

    _end = "peermr_cache_free"
    _what = "the cache"

    def __init__(self, regions: int = 4096, bytes_: int = _ALL) -> None:
        _natural(regions, bytes_)
        super().__init__(made("peermr_cache_create", ctypes.byref(_structs.CacheLimits(regions=regions, bytes=bytes_))))

    def dmabuf(self, domain: Domain, descriptor: int, offset: int, length: int, access: int = Access.LOCAL_WRITE, *,
               provider: Optional[str] = None, widen: bool = False) -> Request:
        """A request for a part of a dma-buf; the descriptor may be closed when this returns."""
        _natural(offset, length)
        return Request(made("peermr_request_dmabuf", self.handle, domain_address(domain), _descriptor(descriptor),
                            offset, length, _options(access, False, None, provider, widen)), self, domain)

    def p2pmem(self, domain: Domain, memory: P2PMem, access: int = Access.LOCAL_WRITE, *,
               widen: bool = False) -> Request:
        """A request for p2pmem."""
        return Request(made("peermr_request_p2pmem", self.handle, domain_address(domain), memory.handle,
                            _options(access, False, None, None, widen)), self, domain, memory)

    def arena(self, domain: Domain, arena: Arena, access: int = Access.LOCAL_WRITE, *, widen: bool = False) -> Request:
        """A request for host memory of an arena."""
        return Request(made("peermr_request_arena", self.handle, domain_address(domain), arena.handle,
                            _options(access, False, None, None, widen)), self, domain, arena)

    def reader(self) -> Reader:
        """A way into the cache for the calling thread. Close it before the cache."""
        return Reader(self)

    def invalidate(self, memory: Union[Arena, P2PMem, int, None] = None, offset: int = 0, length: int = _ALL) -> int:
        """End the regions of a memory that have a part of a range, before that goes; returns how many.

        memory: an Arena, a P2PMem, or the descriptor of a dma-buf; None for all regions of the cache. offset, length:
        the range, as far as it is inside the memory; for a dma-buf, of the whole buffer.
        """
        _natural(offset, length)
        if isinstance(memory, Arena):
            return self._ended("peermr_cache_invalidate_arena", memory.handle, offset, length)
        if isinstance(memory, P2PMem):
            return self._ended("peermr_cache_invalidate_p2pmem", memory.handle, offset, length)
        if isinstance(memory, int) and not isinstance(memory, bool):
            return self._ended("peermr_cache_invalidate_dmabuf", _descriptor(memory), offset, length)
        if memory is not None:
            raise PeerMRError(Status.INVALID_ARGUMENT, f"a cache has no regions of {type(memory).__name__}",
                              "pass a peermr.Arena, a peermr.P2PMem, or the descriptor of a dma-buf")
        if (offset, length) != (0, _ALL):
            raise PeerMRError(Status.INVALID_ARGUMENT, "a range is that of a memory", "name the memory as well")
        return self._ended("peermr_cache_invalidate_all")

    def invalidate_provider(self, provider: str) -> int:
        """End the regions of a PCI function's memory: it is going, or its driver is. Returns how many."""
        return self._ended("peermr_cache_invalidate_provider", encoded(provider))

    def addresses(self, domain: Domain, access: int = Access.LOCAL_WRITE, *, arenas: Sequence[Arena] = (),
                  widen: bool = False) -> AddressRequest:
        """A request for leases by address; host memory is that of the arenas."""
        handles = (c_void_p * len(arenas))(*(arena.handle for arena in arenas))
        return AddressRequest(made("peermr_request_addresses", self.handle, domain_address(domain), handles,
                                   len(arenas), _options(access, False, None, None, widen)), self, domain, *arenas)

    def invalidate_addresses(self, address: int, length: int) -> int:
        """End the regions of memory that is mapped there, before it is unmapped; returns how many."""
        _natural(address, length)
        return self._ended("peermr_cache_invalidate_addresses", address, length)

    def _ended(self, name: str, *arguments: Any) -> int:
        ended = c_uint64()
        call(name, self.handle, *arguments, ctypes.byref(ended))
        return ended.value

    def release_domain(self, domain: Domain) -> None:
        """End all regions of a domain, before it is deallocated; BUSY while some are leased."""
        call("peermr_cache_release_domain", self.handle, domain_address(domain))

    def statistics(self) -> Dict[str, int]:
        """What it did, and holds: the members of struct peermr_cache_statistics."""
        out = _structs.CacheStatistics()
        call("peermr_cache_statistics", self.handle, ctypes.byref(out))
        return {name: int(getattr(out, name)) for name, _ in out._fields_[1:]}
