# SPDX-License-Identifier: Apache-2.0
"""Linux 6.12 maps p2pmem for on-demand regions without a check: PeerMR's own stands in, with true DMA to show it."""
from checks import check, equal, in_order
from hcatool import DEVICE, counter, held
from on_demand import memory
from regions import proven, register
from registry import UNCHECKED, test


class _On:
    """The bench with another of its hosts as the server."""

    def __init__(self, bench, name):
        self._bench = bench
        self.server = next(host for host in bench.hosts if host.name == name)

    def __getattr__(self, name):
        return getattr(self._bench, name)


def moved(bench, name, why):
    """Register memory of a drive and prove it: the HCA's engine moves the bytes, and the reason says who has checked."""
    before, mine = (counter(bench, "bytes_moved"), counter(bench, "odp_pages")), held(bench)
    report = register(bench, DEVICE, memory(bench, name, "8K"), "--prove")
    proven(report, "onDemand")
    in_order(report["answers"]["api"]["reason"], "Linux 6.12 maps it without a check, and PeerMR's own stands in", why)
    check(counter(bench, "bytes_moved") - before[0] >= report["proof"]["bytes"],
          "the HCA has moved fewer bytes than were proven")
    check(counter(bench, "odp_pages") > before[1], "the HCA was on no page of an on-demand region")
    bench.settles(lambda: held(bench), mine, "what is registered and held")


def unsafe(bench, name, *words):
    """Fail unless a registration is refused before the kernel is asked, which would map it."""
    before = counter(bench, "odp_pages")
    report = register(bench, DEVICE, memory(bench, name), code=1)
    error = report["error"]
    equal((error["code"], error.get("errno")), ("unsafeHere", None), "the refusal")
    in_order(error["reason"], f"Linux 6.12 maps peer memory for {DEVICE} without checking that it can reach", *words)
    said = bench.run(bench.server, [bench.tool, "check", "--json", bench.server.bdf(name), DEVICE], 60)
    check(words[0] in said.stdout, f"peermr check does not say {words[0]!r}: {said.stdout}")
    equal(counter(bench, "odp_pages"), before, "the pages that the HCA has mapped")


@test(UNCHECKED)
def without_translation(bench):
    """Behind one switch, and behind two root ports of an AMD processor: the CPU's address is that on the bus."""
    for host, names in (("intel", ["near"]), ("amd", ["near", "far"])):
        for name in names:
            moved(_On(bench, host), name, "nothing translates its addresses")


@test(UNCHECKED)
def through_an_iommu(bench):
    """An IOMMU translates on an AMD processor: its addresses lead through the host bridge, below one switch too."""
    for name in ("near", "far"):
        moved(_On(bench, "amd-translated"), name, "its IOMMU leads there")


@test(UNCHECKED)
def unsafe_pairs(bench):
    """On an Intel processor: two root ports; and one switch, where what is translated goes up to the host bridge."""
    unsafe(_On(bench, "intel"), "far", "a newer one would refuse it", "meet nowhere below the root complex")
    unsafe(_On(bench, "intel-translated"), "near", "an IOMMU translates", "through the host bridge")
