# SPDX-License-Identifier: Apache-2.0
"""libpeermr.so.0 by ctypes: where it is found, its functions, and its failures as exceptions."""
import ctypes
import functools
import os
from ctypes import c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Optional

from . import _structs
from ._errors import PeerMRError, Status

SONAME = "libpeermr.so.0"
# The first version with all that this module calls.
NEEDED = (0, 1, 0)

_OUT = ctypes.POINTER(c_void_p)


def _pointer(struct: type) -> Any:
    return ctypes.POINTER(struct)


# The arguments of each function that is called: handles and objects of libibverbs are addresses.
FUNCTIONS = {
    "peermr_last_error": [_pointer(_structs.Error)],
    "peermr_check": [c_void_p, c_char_p, _OUT],
    "peermr_capability_answer": [c_void_p, c_int, _pointer(_structs.Answer)],
    "peermr_capability_route": [c_void_p, _pointer(_structs.RouteResult)],
    "peermr_capability_finding": [c_void_p, c_uint64, _pointer(_structs.Finding)],
    "peermr_capability_free": [c_void_p],
    "peermr_route": [c_char_p, c_char_p, _pointer(_structs.RouteResult)],
    "peermr_p2pmem_allocate": [c_char_p, c_uint64, _OUT],
    "peermr_p2pmem_free": [c_void_p],
    "peermr_memory_open": [c_char_p, _OUT],
    "peermr_memory_info": [c_void_p, _pointer(_structs.MemoryInfo)],
    "peermr_memory_dmabuf": [c_void_p, ctypes.POINTER(c_int), ctypes.POINTER(c_uint64)],
    "peermr_memory_read": [c_void_p, c_uint64, c_void_p, c_uint64],
    "peermr_memory_write": [c_void_p, c_uint64, c_void_p, c_uint64],
    "peermr_memory_close": [c_void_p],
    "peermr_register_memory": [c_void_p, c_void_p, c_uint64, c_uint64, _pointer(_structs.Options), _OUT],
    "peermr_register_p2pmem": [c_void_p, c_void_p, _pointer(_structs.Options), _OUT],
    "peermr_register_dmabuf": [c_void_p, c_int, c_uint64, c_uint64, _pointer(_structs.Options), _OUT],
    "peermr_register_address": [c_void_p, c_void_p, c_uint64, _pointer(_structs.Options), _OUT],
    "peermr_region_info": [c_void_p, _pointer(_structs.RegionInfo)],
    "peermr_prove": [c_void_p, c_uint64, c_uint32, _pointer(_structs.Proof)],
    "peermr_deregister": [c_void_p],
    "peermr_cache_create": [_pointer(_structs.CacheLimits), _OUT],
    "peermr_cache_free": [c_void_p],
    "peermr_arena_create": [c_void_p, c_uint64, _OUT],
    "peermr_arena_free": [c_void_p],
    "peermr_request_p2pmem": [c_void_p, c_void_p, c_void_p, _pointer(_structs.Options), _OUT],
    "peermr_request_dmabuf": [c_void_p, c_void_p, c_int, c_uint64, c_uint64, _pointer(_structs.Options), _OUT],
    "peermr_request_arena": [c_void_p, c_void_p, c_void_p, _pointer(_structs.Options), _OUT],
    "peermr_request_addresses": [c_void_p, c_void_p, c_void_p, c_size_t, _pointer(_structs.Options), _OUT],
    "peermr_request_free": [c_void_p],
    "peermr_address_request_free": [c_void_p],
    "peermr_cache_lease": [c_void_p, c_uint64, c_uint64, _pointer(_structs.Lease)],
    "peermr_cache_lease_address": [c_void_p, c_void_p, c_uint64, _pointer(_structs.Lease)],
    "peermr_lease_release": [_pointer(_structs.Lease)],
    "peermr_lease_invalidate": [_pointer(_structs.Lease)],
    "peermr_reader_create": [c_void_p, _OUT],
    "peermr_reader_find": [c_void_p, c_void_p, c_uint64, c_uint64, _pointer(_structs.Lease)],
    "peermr_reader_advance": [c_void_p],
    "peermr_reader_free": [c_void_p],
    "peermr_cache_invalidate_p2pmem": [c_void_p, c_void_p, c_uint64, c_uint64, ctypes.POINTER(c_uint64)],
    "peermr_cache_invalidate_dmabuf": [c_void_p, c_int, c_uint64, c_uint64, ctypes.POINTER(c_uint64)],
    "peermr_cache_invalidate_provider": [c_void_p, c_char_p, ctypes.POINTER(c_uint64)],
    "peermr_cache_invalidate_addresses": [c_void_p, c_void_p, c_uint64, ctypes.POINTER(c_uint64)],
    "peermr_cache_invalidate_all": [c_void_p, ctypes.POINTER(c_uint64)],
    "peermr_cache_invalidate_arena": [c_void_p, c_void_p, c_uint64, c_uint64, ctypes.POINTER(c_uint64)],
    "peermr_cache_release_domain": [c_void_p, c_void_p],
    "peermr_cache_statistics": [c_void_p, _pointer(_structs.CacheStatistics)],
}
# Those that give something else than a status.
RESULTS = {
    "peermr_version": (c_char_p, []),
    "peermr_capability_finding_count": (c_uint64, [c_void_p]),
    "peermr_p2pmem_address": (c_void_p, [c_void_p]),
    "peermr_p2pmem_length": (c_uint64, [c_void_p]),
    "peermr_region_mr": (c_void_p, [c_void_p]),
}


@functools.lru_cache(maxsize=None)
def library() -> ctypes.CDLL:
    """The library: PEERMR_LIBRARY, what the linker finds, or what was installed beside this module."""
    lib = _open()
    try:
        for name, arguments in FUNCTIONS.items():
            function = getattr(lib, name)
            function.argtypes, function.restype = arguments, c_int
        for name, (result, arguments) in RESULTS.items():
            function = getattr(lib, name)
            function.argtypes, function.restype = arguments, result
    except AttributeError as error:
        raise _wrong_version(f"the library lacks a function that this module calls ({error})") from error
    version = lib.peermr_version().decode()
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < NEEDED or numbers[:1] != NEEDED[:1]:
        raise _wrong_version(f"{SONAME} is of version {version}")
    return lib


def _wrong_version(reason: str) -> PeerMRError:
    needed = ".".join(map(str, NEEDED))
    return PeerMRError(Status.NOT_SUPPORTED, f"{reason}, and this module needs {needed} or a later one of the same "
                       "interface", "install library and module of one version")


def _open() -> ctypes.CDLL:
    named = os.environ.get("PEERMR_LIBRARY")
    # PREFIX/lib/python3/dist-packages/peermr: the library is in PREFIX/lib.
    beside = [str(place / SONAME) for place in Path(__file__).resolve().parents[2:5]]
    said = []
    for path in [named] if named else [SONAME, *beside]:
        try:
            return ctypes.CDLL(path)
        except OSError as error:
            said.append(str(error))
    raise PeerMRError(Status.NOT_FOUND, f"{named or SONAME} cannot be loaded: {said[0]}",
                      "install it (libpeermr0, or Packaging/install), or name it in PEERMR_LIBRARY")


def text(value: Optional[bytes]) -> str:
    """A text of the library."""
    return (value or b"").decode(errors="replace")


def encoded(value: str) -> bytes:
    """A text for the library, which would end at a NUL."""
    if "\0" in value:
        raise PeerMRError(Status.INVALID_ARGUMENT, f"{value!r} has a NUL in it", "leave it out")
    return value.encode(errors="surrogateescape")


def known(kind: Any, value: int) -> Any:
    """A value of an enumeration, UNKNOWN for one that this module does not know."""
    return kind(value) if value in kind._value2member_map_ else kind.UNKNOWN


def last_error() -> PeerMRError:
    """This thread's last failure."""
    error = _structs.Error()
    library().peermr_last_error(ctypes.byref(error))
    return PeerMRError(Status(error.status), text(error.reason), text(error.remedy), text(error.call),
                       error.error_number, text(error.message))


def call(name: str, *arguments: Any) -> None:
    """Call a function that returns a status; raises PeerMRError."""
    if getattr(library(), name)(*arguments) != 0:
        raise last_error()


def made(name: str, *arguments: Any) -> int:
    """Call a function whose last argument is where a handle goes; returns the handle."""
    handle = c_void_p()
    call(name, *arguments, ctypes.byref(handle))
    return handle.value or 0
