# SPDX-License-Identifier: Apache-2.0
"""What calls fail with: one type, with the call, errno, what happened, and what to do about it."""
import enum


class Status(enum.IntEnum):
    """The class of a failure: `peermr_status` of peermr.h."""

    OK = 0
    NOT_FOUND = 1
    NOT_SUPPORTED = 2
    UNSAFE_HERE = 3
    INVALID_ARGUMENT = 4
    RESOURCE_LIMIT = 5
    BUSY = 6
    NOT_PERMITTED = 7
    REFUSED = 8
    PROTOCOL_VIOLATION = 9
    PEER_LOST = 10
    DATA_MISMATCH = 11
    SYSTEM = 12

    @classmethod
    def _missing_(cls, value: object) -> "Status":
        # Later versions of the library may have more.
        return cls.SYSTEM


class PeerMRError(Exception):
    """A failure of the library.

    Attributes:
        code: its class, a `Status`.
        errno: the number that the failed system or verbs call left; 0 where none failed.
        call: that call's C name, such as "ibv_reg_mr"; empty where none failed.
        reason: what happened, with the facts in it.
        remedy: what to do about it; empty where there is nothing.
        message: all of it in one line, which is what str() gives.
    """

    def __init__(self, code: Status, reason: str, remedy: str = "", call: str = "", errno: int = 0,
                 message: str = "") -> None:
        self.code, self.reason, self.remedy, self.call, self.errno = code, reason, remedy, call, errno
        self.message = message or (f"{reason}; {remedy}" if remedy else reason)
        super().__init__(self.message)
