# SPDX-License-Identifier: Apache-2.0
"""Can an RDMA device reach a PCI function's memory, and why not?"""
import ctypes
import enum
from dataclasses import dataclass, field
from typing import Any, List, Optional

from . import _structs
from ._library import call, encoded, known, library, made, text
from ._verbs import Context, context_address


class Outcome(enum.Enum):
    """An answer. An input that cannot be read makes it unknown, never yes."""

    UNKNOWN = 0
    YES = 1
    NO = 2

    def __bool__(self) -> bool:
        """Whether it is a yes: unknown is none."""
        return self is Outcome.YES


class MapType(enum.Enum):
    """How the kernel maps a provider's memory for a client's DMA."""

    UNKNOWN = 0
    BUS_ADDRESS = 1
    THROUGH_HOST_BRIDGE = 2
    NOT_SUPPORTED = 3


@dataclass(frozen=True)
class Answer:
    """One of the four answers, with the reason and what changes it."""

    outcome: Outcome
    reason: str
    remedy: str


@dataclass(frozen=True)
class Finding:
    """What led to a route: its name as `peermr check` prints it, and the device that it is about."""

    name: str
    device: str
    detail: str
    remedy: str


@dataclass(frozen=True)
class Route:
    """Whether the kernel lets a client do DMA to a provider.

    distance: steps as the kernel counts them; None where there is no route.
    """

    outcome: Outcome
    map_type: MapType
    distance: Optional[int]
    reason: str
    remedy: str


@dataclass(frozen=True)
class Check:
    """The four answers for an RDMA device and a provider, and what led to the route."""

    api: Answer
    exporter: Answer
    route: Answer
    data: Answer
    path: Route
    findings: List[Finding] = field(default_factory=list)


def _route(result: _structs.RouteResult) -> Route:
    return Route(known(Outcome, result.outcome), known(MapType, result.map_type),
                 result.distance if result.distance >= 0 else None, text(result.reason), text(result.remedy))


def route(client: str, provider: str) -> Route:
    """The route between two PCI functions, by their addresses as lspci -D writes them.

    Raises PeerMRError: INVALID_ARGUMENT for what is no address, NOT_FOUND where there is no such function.
    """
    result = _structs.RouteResult()
    call("peermr_route", encoded(client), encoded(provider), ctypes.byref(result))
    return _route(result)


def check(device: Any, provider: str) -> Check:
    """The four answers for an RDMA device and the memory of a PCI function. A no is no failure.

    device: its name ("mlx5_0"), which is opened meanwhile; or a pyverbs Context, a Context, an address of an
    ibv_context. provider: the function's address. Raises PeerMRError as route() does, and where the device cannot be
    opened.
    """
    if isinstance(device, str):
        with Context(device) as context:
            return check(context, provider)
    handle = made("peermr_check", context_address(device), encoded(provider))
    try:
        answers = []
        for question in range(4):
            answer = _structs.Answer()
            call("peermr_capability_answer", handle, question, ctypes.byref(answer))
            answers.append(Answer(known(Outcome, answer.outcome), text(answer.reason), text(answer.remedy)))
        result = _structs.RouteResult()
        call("peermr_capability_route", handle, ctypes.byref(result))
        path, findings = _route(result), []
        for index in range(library().peermr_capability_finding_count(handle)):
            finding = _structs.Finding()
            call("peermr_capability_finding", handle, index, ctypes.byref(finding))
            findings.append(Finding(text(finding.name), text(finding.device), text(finding.detail),
                                    text(finding.remedy)))
        return Check(*answers, path, findings)
    finally:
        call("peermr_capability_free", handle)
