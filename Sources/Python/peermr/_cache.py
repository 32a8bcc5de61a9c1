# SPDX-License-Identifier: Apache-2.0
"""Regions that stay registered, and are found by what the memory is; see peermr_cache_lease(3)."""
import ctypes
from ctypes import c_uint64
from typing import Any, Dict, Optional

from . import _structs
from ._library import call, made
from ._memory import Access, Handle, P2PMem, _natural, _options
from ._verbs import Domain, domain_address


class Lease:
    """Keys of a range, good until it is given back: release(), or `with`.

    Attributes: io_address, length, lkey, rkey, alignment, path_mtu, as in a Region.
    """

    def __init__(self, request: "Request", offset: int, length: int) -> None:
        _natural(offset, length)
        self._request, self._lease = request, _structs.Lease()
        call("peermr_cache_lease", request.handle, offset, length, ctypes.byref(self._lease))
        lease = self._lease
        self.io_address, self.length = int(lease.io_address), int(lease.length)
        self.lkey, self.rkey = int(lease.lkey), int(lease.rkey)
        self.alignment, self.path_mtu = int(lease.alignment), int(lease.path_mtu)

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


class Request(Handle):
    """A memory, a domain and rights, looked up once for many leases. Made by a Cache."""

    _end = "peermr_request_free"
    _what = "the request"

    def __init__(self, handle: int, *holds: Any) -> None:
        super().__init__(handle)
        self._holds = holds

    def lease(self, offset: int, length: int) -> Lease:
        """A region that has this range of the memory: one of the cache, or one that is registered now."""
        return Lease(self, offset, length)


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

    def __init__(self, regions: int = 4096, bytes_: int = (1 << 64) - 1) -> None:
        _natural(regions, bytes_)
        super().__init__(made("peermr_cache_create", ctypes.byref(_structs.CacheLimits(regions=regions, bytes=bytes_))))

    def dmabuf(self, domain: Domain, descriptor: int, offset: int, length: int, access: int = Access.LOCAL_WRITE, *,
               provider: Optional[str] = None, widen: bool = False) -> Request:
        """A request for a part of a dma-buf; the descriptor may be closed when this returns."""
        _natural(offset, length)
        return Request(made("peermr_request_dmabuf", self.handle, domain_address(domain), descriptor, offset, length,
                            _options(access, False, None, provider, widen)), self, domain)

    def p2pmem(self, domain: Domain, memory: P2PMem, access: int = Access.LOCAL_WRITE, *,
               widen: bool = False) -> Request:
        """A request for p2pmem."""
        return Request(made("peermr_request_p2pmem", self.handle, domain_address(domain), memory.handle,
                            _options(access, False, None, None, widen)), self, domain, memory)

    def arena(self, domain: Domain, arena: Arena, access: int = Access.LOCAL_WRITE, *, widen: bool = False) -> Request:
        """A request for host memory of an arena."""
        return Request(made("peermr_request_arena", self.handle, domain_address(domain), arena.handle,
                            _options(access, False, None, None, widen)), self, domain, arena)

    def invalidate(self, arena: Optional[Arena] = None) -> int:
        """End all regions, or those of an arena, before its memory goes; returns how many."""
        ended = c_uint64()
        if arena is None:
            call("peermr_cache_invalidate_all", self.handle, ctypes.byref(ended))
        else:
            call("peermr_cache_invalidate_arena", self.handle, arena.handle, 0, (1 << 64) - 1, ctypes.byref(ended))
        return ended.value

    def release_domain(self, domain: Domain) -> None:
        """End all regions of a domain, before it is deallocated; BUSY while some are leased."""
        call("peermr_cache_release_domain", self.handle, domain_address(domain))

    def statistics(self) -> Dict[str, int]:
        """What it did, and holds: the members of struct peermr_cache_statistics."""
        out = _structs.CacheStatistics()
        call("peermr_cache_statistics", self.handle, ctypes.byref(out))
        return {name: int(getattr(out, name)) for name, _ in out._fields_[1:]}
