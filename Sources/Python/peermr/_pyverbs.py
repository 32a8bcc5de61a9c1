# SPDX-License-Identifier: Apache-2.0
"""Where the ibv_pd and the ibv_context of pyverbs' objects are.

pyverbs has no call that tells. Its properties `PD.pd` and `Context.context` must not be read: they take the pointer for
a Python object (up to rdma-core 56 at least), count a reference in the C struct, and crash. The pointer is a member of
the Cython object, before one that Python shows (pyverbs/pd.pxd and device.pxd: `pd, ctx` and `context, device, name`).
It is found by that one, and believed if what it points to says the same as pyverbs' safe properties: the PD's context
and its kernel handle, the name of the context's device.
"""
import ctypes
import gc
import os
import struct
from typing import Any, List, Optional

_WORD = struct.calcsize("P")
# struct ibv_device: two operations, two enums, and the name in 64 bytes.
_NAME_OFFSET, _NAME_BYTES = 2 * _WORD + 8, 64


def is_one(value: Any, kind: str) -> bool:
    """Whether a value is pyverbs' PD ("pyverbs.pd.PD") or Context, or of a class that is derived from it."""
    return any(f"{base.__module__}.{base.__qualname__}" == kind for base in type(value).__mro__)


def _base(value: Any, kind: str) -> type:
    return next(base for base in type(value).__mro__ if f"{base.__module__}.{base.__qualname__}" == kind)


def _members(value: Any, kind: str) -> List[int]:
    """The words of an object as far as pyverbs' own class has laid it out."""
    count = _base(value, kind).__basicsize__ // _WORD
    return list((ctypes.c_size_t * count).from_address(id(value)))


def _read(address: int, count: int) -> Optional[bytes]:
    """Bytes of this process; None where nothing is mapped."""
    try:
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            found = os.pread(memory.fileno(), count, address)
    except (OSError, OverflowError):
        return None
    return found if len(found) == count else None


def _words(address: int, count: int) -> Optional[List[int]]:
    found = _read(address, count * _WORD)
    return list(struct.unpack(f"{count}P", found)) if found else None


def context_of(context: Any) -> Optional[int]:
    """Where the ibv_context of a pyverbs Context is; None where that is not certain, 0 where it is closed."""
    name, members = context.name, _members(context, "pyverbs.device.Context")
    for index in range(4, len(members)):
        if members[index] != id(name):
            continue
        found, device = members[index - 2], members[index - 1]
        if found == 0:
            return 0
        # struct ibv_context begins with its device, which pyverbs does not always keep.
        begin = _words(found, 1)
        shown = _read(begin[0] + _NAME_OFFSET, _NAME_BYTES) if begin and device in (0, begin[0]) else None
        if shown and shown.split(b"\0")[0] == (name.encode() if isinstance(name, str) else name):
            return found
    return None


def domain_of(domain: Any) -> Optional[int]:
    """Where the ibv_pd of a pyverbs PD is; None where that is not certain, 0 where it is closed."""
    members = _members(domain, "pyverbs.pd.PD")
    contexts = [other for other in gc.get_referents(domain) if is_one(other, "pyverbs.device.Context")]
    if not contexts:
        # close() sets pointer and context to nothing; the handle of a closed one must not be asked for.
        return 0
    for context in contexts:
        wanted = context_of(context)
        for index in range(3, len(members)):
            if members[index] != id(context) or not wanted:
                continue
            found = members[index - 1]
            begin = _words(found, 2) if found else None
            # struct ibv_pd: the context, and the handle in 32 bits. The handle is asked for when the rest is right.
            if begin and begin[0] == wanted and struct.pack("P", begin[1])[:4] == struct.pack("I", domain.handle):
                return found
    return None
