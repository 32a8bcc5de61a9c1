# SPDX-License-Identifier: Apache-2.0
"""Holds what PeerMR says of a machine against what its kernel did."""
import json
import re

_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_REDIRECT = re.compile(r"(\S+): ACS redirect is set between the client and provider \((\S+)\)")
_REMEDY = re.compile(r"(\S+): to disable ACS redirect for this path, .*pci=disable_acs_redir=(\S+)")
# What the driver of the lab HCA tells of a region, by map type.
_ROUTES = {"busAddress": "bus-address", "throughHostBridge": "host-bridge"}
_ALLOWED = {"busAddress": True, "throughHostBridge": True, "notSupported": False}


class Comparison:
    """A machine and its Testimony; `judge` looks at one pair."""

    def __init__(self, machine, testimony):
        self._machine = machine
        self._said = testimony
        self._kernel = testimony.kernel
        self._redirects = self._logged()
        self.unknown = 0

    def address(self, drive):
        """The PCI address of a drive by its name."""
        return self._kernel["drives"][drive][0]

    def _logged(self):
        """From (provider, client) to the functions that redirect, as the kernel logged them."""
        found, last = {}, None
        for line in self._kernel["log"].splitlines():
            if match := _REDIRECT.search(line):
                last = (match[2], match[1])
            elif (match := _REMEDY.search(line)) and last:
                found[last] = set(filter(None, match[2].split(";")))
        return found

    def judge(self, pair):
        """What is wrong with a pair: sentences, none where all agree."""
        faults = self._transfers(pair)
        allowed = pair["write"] == "ok"
        key = f"{self.address(pair['provider'])} {self.address(pair['client'])}"
        faults += self._as_root(pair, self._said.privileged[key], allowed)
        faults += self._as_nobody(pair, self._said.unprivileged[key], allowed)
        return faults

    def _transfers(self, pair):
        """Whether the kernel agrees with itself: the write, the read, the data, its own record."""
        faults = []
        if pair["write"] != pair["read"]:
            faults.append(f"the write was {pair['write']}, the read {pair['read']}")
        refusals = ("EFAULT",) if "hca" in pair else ("EINVAL", "EREMOTEIO")
        if pair["write"] not in ("ok", "no pool", *refusals):
            faults.append(f"the transfer failed with {pair['write']}")
        if self._kernel["has_probe"] and not pair["record"] and pair["write"] != "no pool":
            faults.append("the kernel's own decision was not recorded")
        if pair["record"] and _ALLOWED[pair["record"][0]] != (pair["write"] == "ok"):
            faults.append(f"the kernel decided {pair['record'][0]}, "
                          f"the transfer was {pair['write']}")
        if not pair["data"] and not self._is_beyond_qemu(pair):
            faults.append("the data came back wrong")
        return faults + self._as_mapped(pair)

    def _as_mapped(self, pair):
        """Whether the address that an HCA got is of the kind that its kernel decided on."""
        if not pair.get("hca") or not pair["record"]:
            return []
        kind, route, is_physical = pair["record"][0], pair["hca"]["route"], pair["hca"]["physical"]
        is_translated = self._machine.iommu == "translating IOMMU" and kind == "throughHostBridge"
        faults = []
        if route != _ROUTES.get(kind):
            faults.append(f"the kernel decided {kind}, the region's route is {route}")
        if is_physical is is_translated:
            faults.append(f"the address of the region is {'' if is_physical else 'not '}the processor's")
        return faults

    def _is_beyond_qemu(self, pair):
        """QEMU translates every address: one that a switch would route by itself faults unseen."""
        return self._machine.iommu == "translating IOMMU" and pair["record"][0] == "busAddress"

    def _as_root(self, pair, told, allowed):
        kind, supported, distance, findings = told
        faults = []
        if supported is not allowed:
            faults.append(f"PeerMR says supported {supported}, the kernel {allowed}")
        if pair["record"]:
            if kind != pair["record"][0]:
                faults.append(f"PeerMR says {kind}, the kernel {pair['record'][0]}")
            if distance != pair["record"][1]:
                faults.append(f"PeerMR's distance is {distance}, the kernel's {pair['record'][1]}")
            redirects = {item.split()[1] for item in findings if item.startswith("acsRedirect")}
            key = (self.address(pair["provider"]), self.address(pair["client"]))
            logged = self._redirects.get(key, set())
            if redirects != logged and not self._is_cut(logged):
                faults.append(f"PeerMR names {sorted(redirects)} as redirecting, "
                              f"the kernel {sorted(logged)}")
        return faults

    @staticmethod
    def _is_cut(logged):
        """The kernel's list has room for some ten functions."""
        return sum(len(item) + 1 for item in logged) > 110

    def _as_nobody(self, pair, told, allowed):
        """Without privilege an answer may be unknown where it has to be, and else is the same."""
        kind, supported, distance, _ = told
        faults = []
        if supported is None:
            self.unknown += 1
            if self._can_be_known(pair):
                faults.append("unprivileged, PeerMR does not know what can be known")
        elif supported is not allowed:
            faults.append(f"unprivileged, PeerMR says supported {supported}, the kernel {allowed}")
        if pair["record"]:
            if kind not in ("unknown", pair["record"][0]):
                faults.append(f"unprivileged, PeerMR says {kind}, the kernel {pair['record'][0]}")
            if distance != pair["record"][1]:
                faults.append(f"unprivileged, PeerMR's distance is {distance}")
        return faults

    def _can_be_known(self, pair):
        """Whether the ACS of every function on the way is known without reading it: it has none."""
        one, other = (self._chain(pair[end]) for end in ("provider", "client"))
        common = set(one) & set(other)
        if not common or re.match("EPYC", self._machine.cpu):
            return True
        meeting = max(common, key=one.index)
        way = set(one + other) - common | {meeting}
        return all(self._kernel["sizes"][function] == 256 for function in way)

    def _chain(self, drive):
        """The functions from the root bus down to a drive."""
        path = self._kernel["paths"][self.address(drive)]
        return _ADDRESS.findall(path[path.rindex("/pci"):])

    def check(self, provider, client, code, text):
        """What is wrong with one answer of `peermr check`, as JSON and by its exit code."""
        pair = next(pair for pair in self._kernel["pairs"]
                    if (pair["provider"], pair["client"]) == (provider, client))
        name = f"peermr check {self.address(provider)} {self._kernel['drives'][client]}"
        wanted = 0 if pair["write"] == "ok" else 1
        if code != wanted:
            return [f"{name} ended with {code}, and should with {wanted}"]
        try:
            answer = json.loads(text)
        except ValueError:
            return [f"{name} printed no JSON: {text[:200]!r}"]
        faults = []
        if pair["record"] and answer.get("mapType") != pair["record"][0]:
            faults.append(f"{name} says {answer.get('mapType')}, the kernel {pair['record'][0]}")
        if pair["record"] and answer.get("distance") != pair["record"][1]:
            faults.append(f"{name} says distance {answer.get('distance')}, "
                          f"the kernel {pair['record'][1]}")
        return faults
