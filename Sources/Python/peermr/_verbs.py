# SPDX-License-Identifier: Apache-2.0
"""Objects of libibverbs: those of pyverbs, or these, for programs that have no pyverbs."""
import ctypes
import functools
import os
from ctypes import c_char_p, c_int, c_void_p
from typing import Any, Optional, Union

from . import _pyverbs
from ._errors import PeerMRError, Status


@functools.lru_cache(maxsize=None)
def _verbs() -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL("libibverbs.so.1", use_errno=True)
    except OSError as error:
        raise PeerMRError(Status.NOT_FOUND, f"libibverbs.so.1 cannot be loaded: {error}",
                          "install rdma-core (libibverbs1, ibverbs-providers)") from error
    for name, result, arguments in (
            ("ibv_get_device_list", ctypes.POINTER(c_void_p), [ctypes.POINTER(c_int)]),
            ("ibv_free_device_list", None, [ctypes.POINTER(c_void_p)]),
            ("ibv_get_device_name", c_char_p, [c_void_p]), ("ibv_open_device", c_void_p, [c_void_p]),
            ("ibv_close_device", c_int, [c_void_p]), ("ibv_alloc_pd", c_void_p, [c_void_p]),
            ("ibv_dealloc_pd", c_int, [c_void_p])):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def _failed(name: str, reason: str, number: Optional[int] = None) -> PeerMRError:
    number = ctypes.get_errno() if number is None else number
    return PeerMRError(Status.SYSTEM, f"{reason} ({os.strerror(number)})", call=name, errno=number,
                       message=f"{name}: {reason}: {os.strerror(number)}")


class Context:
    """An open RDMA device. Close it after all that was made from it, or use `with`."""

    def __init__(self, name: str) -> None:
        self.name, self._address = name, 0
        lib, count = _verbs(), c_int()
        devices = lib.ibv_get_device_list(ctypes.byref(count))
        if not devices:
            raise _failed("ibv_get_device_list", "no RDMA device can be listed")
        try:
            found = [devices[index] for index in range(count.value)
                     if lib.ibv_get_device_name(devices[index]) == name.encode()]
            if not found:
                raise PeerMRError(Status.NOT_FOUND, f"there is no RDMA device {name!r} that libibverbs can open",
                                  "see ibv_devices, or peermr devices, for those that there are")
            self._address = lib.ibv_open_device(found[0]) or 0
            if not self._address:
                raise _failed("ibv_open_device", f"{name} cannot be opened")
        finally:
            lib.ibv_free_device_list(devices)

    @property
    def address(self) -> int:
        """Where the ibv_context is."""
        if not self._address:
            raise PeerMRError(Status.INVALID_ARGUMENT, f"the context of {self.name} is closed")
        return self._address

    def domain(self) -> "ProtectionDomain":
        """A protection domain of the device."""
        return ProtectionDomain(self)

    def close(self) -> None:
        """Close it; nothing happens the second time."""
        if self._address:
            if _verbs().ibv_close_device(self._address):
                raise _failed("ibv_close_device", f"{self.name} cannot be closed")
            self._address = 0

    def __enter__(self) -> "Context":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ProtectionDomain:
    """A protection domain. Close it after its regions, or use `with`."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._address = _verbs().ibv_alloc_pd(context.address) or 0
        if not self._address:
            raise _failed("ibv_alloc_pd", f"{context.name} gives no protection domain")

    @property
    def address(self) -> int:
        """Where the ibv_pd is."""
        if not self._address:
            raise PeerMRError(Status.INVALID_ARGUMENT, "the protection domain is closed")
        return self._address

    def close(self) -> None:
        """Deallocate it; EBUSY (code BUSY) while it has regions. Nothing happens the second time."""
        if self._address:
            number = _verbs().ibv_dealloc_pd(self._address)
            if number:
                error = _failed("ibv_dealloc_pd", "the protection domain cannot be deallocated", number)
                error.code = Status.BUSY if number == 16 else Status.SYSTEM
                raise error
            self._address = 0

    def __enter__(self) -> "ProtectionDomain":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# What functions take for a protection domain, and for a device: an object of pyverbs, one of these, or an address.
Domain = Union[ProtectionDomain, int, Any]


def domain_address(domain: Domain) -> int:
    """Where the ibv_pd of a domain is: a pyverbs PD, a ProtectionDomain, or an address."""
    if isinstance(domain, ProtectionDomain):
        return domain.address
    if _pyverbs.is_one(domain, "pyverbs.pd.PD"):
        return _certain(_pyverbs.domain_of(domain), "PD")
    return _address(domain, "a protection domain", "a pyverbs.pd.PD, a peermr.ProtectionDomain")


def context_address(device: Any) -> int:
    """Where the ibv_context of a device is: a pyverbs Context, a Context, or an address."""
    if isinstance(device, Context):
        return device.address
    if _pyverbs.is_one(device, "pyverbs.device.Context"):
        return _certain(_pyverbs.context_of(device), "Context")
    return _address(device, "an RDMA device", "its name, a pyverbs.device.Context, a peermr.Context")


def _address(value: Any, what: str, those: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise PeerMRError(Status.INVALID_ARGUMENT, f"{type(value).__name__} is not {what}",
                          f"pass {those} or an address")
    if not 0 < value < 1 << 64:
        raise PeerMRError(Status.INVALID_ARGUMENT, f"{what} is at no address", "pass an open one")
    return value


def _certain(found: Optional[int], what: str) -> int:
    """What pyverbs' object was found to hold."""
    if found is None:
        raise PeerMRError(Status.NOT_SUPPORTED, f"this pyverbs lays its {what} out in another way than is known",
                          "make the domain by peermr.Context(name).domain(), or pass the address")
    if not found:
        raise PeerMRError(Status.INVALID_ARGUMENT, f"the {what} of pyverbs is closed", "pass an open one")
    return found
