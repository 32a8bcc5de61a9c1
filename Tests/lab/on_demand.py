# SPDX-License-Identifier: Apache-2.0
"""p2pmem of drives on the lab HCA, which pages on demand: registered, proven and used by PeerMR's programs."""

from checks import check, equal, in_order, objects, probed, same_bytes
from hcatool import DEVICE, counter, no_trouble, nothing_is_left
from pingpong import pattern
from pingpong_peers import QUICK, SIZES, Ends
from regions import lost, proven, register
from registry import HCA, HCA_AMD, test
from tool import routed

MIB = 1 << 20
COUNT = 4


def memory(bench, name, size="4K"):
    """Memory of a drive of the layout, as the programs write it."""
    return f"p2pmem:{bench.server.bdf(name)}:{size}"


@test(HCA)
def registered_and_proven(bench):
    """Behind one switch: the region is on demand, and another device's DMA engine moves the proof's bytes."""
    before = counter(bench, "bytes_moved"), counter(bench, "odp_pages")
    report = register(bench, DEVICE, memory(bench, "near-drive", "8K"), "--prove")
    proven(report, "onDemand")
    bdf = bench.server.bdf("near-drive")
    equal((report["provider"], report["answers"]["route"]["answer"]), (bdf, "yes"), "the provider and the route")
    equal(routed(bench, bdf, DEVICE)[:2], (True, "busAddress"), "what peermr check says of the route")
    check(counter(bench, "bytes_moved") - before[0] >= report["proof"]["bytes"],
          "the HCA has moved fewer bytes than were proven")
    check(counter(bench, "odp_pages") > before[1], "the HCA was on no page of an on-demand region")
    nothing_is_left(bench)


@test(HCA)
def refused_by_the_kernel(bench):
    """Behind two root ports of an Intel processor: PeerMR says no before, the kernel EFAULT, for one reason."""
    far = bench.server.bdf("far-drive")
    said = bench.run(bench.server, [bench.tool, "check", far, DEVICE], 60)
    equal(said.code, 1, "the exit code of peermr check")
    report = register(bench, DEVICE, memory(bench, "far-drive"), "--prove", code=1)
    route, error = report["answers"]["route"], report["error"]
    equal((route["answer"], error["code"], error["errno"], report["proof"]),
          ("no", "notSupported", 14, None), "the refusal")
    check(route["reason"] in error["reason"], f"the error does not have the route's reason: {error}")
    in_order(error["reason"], f"refuses DMA between {DEVICE} and {far}", "as expected",
             "meet nowhere below the root complex")
    equal(error["remedy"], route["remedy"], "the remedy of the error")
    nothing_is_left(bench)


@test(HCA_AMD)
def proven_through_the_host_bridge(bench):
    """Behind two root ports of an AMD processor: mapped by the IOMMU, and proven."""
    report = register(bench, DEVICE, memory(bench, "far-drive"), "--prove")
    proven(report, "onDemand")
    in_order(report["answers"]["route"]["reason"], "through the host bridge")
    nothing_is_left(bench)


@test(HCA_AMD, last=2)
def disproven_behind_a_switch(bench):
    """With an IOMMU, QEMU's switches pass nothing on: the region is made, and the proof says no."""
    report = register(bench, DEVICE, memory(bench, "near-drive"), "--prove", code=1)
    equal((report["method"], report["proof"]["state"]), ("onDemand", "disproven"), "the method and the proof")
    equal(report["answers"]["data"]["answer"], "no", "the answer about data")


@test(HCA)
def drive_unbound_in_use(bench):
    """The drive's driver is unbound while a program has a region: the region says so, and the drive comes back."""
    bdf, driver = bench.server.bdf("near-drive"), "/sys/bus/pci/drivers/nvme"
    bench.later(lambda: bench.server.run(f"test -e {driver}/{bdf} || echo {bdf} > {driver}/bind"))
    holder = bench.start(bench.server, [bench.probe, "region-hold", DEVICE, memory(bench, "near-drive"), "60"])
    holder.wait_for("holding", 60)
    bench.must(bench.server, f"echo {bdf} > {driver}/unbind")
    lost(probed(holder.wait(90)), f"over p2pmem of {bdf}", "had the driver nvme, and has none now")
    bench.must(bench.server, f"echo {bdf} > {driver}/bind")
    bench.settles(lambda: bench.run(bench.server, f"test -e /sys/bus/pci/devices/{bdf}/p2pmem/allocate").code, 0,
                  "whether the memory is back")
    proven(register(bench, DEVICE, memory(bench, "near-drive"), "--prove"), "onDemand")
    nothing_is_left(bench)


@test(HCA)
def messages_over_p2pmem(bench):
    """SEND, WRITE and READ between the host and a drive's memory, every byte looked at by both ends."""
    pong = Ends(bench)
    mine = f"p2pmem:{bench.server.bdf('near-drive')}"
    for operation in ("send", "write", "read"):
        for size in SIZES:
            pong.trip(operation, size, "host", mine)
    pong.trip("send", SIZES[1], mine, mine)
    pong.refused(pong.run(*QUICK, "--memory", f"p2pmem:{bench.server.bdf('far-drive')}"),
                 "meet nowhere below the root complex")
    nothing_is_left(bench)


@test(HCA)
def messages_through_the_drive(bench):
    """The HCA into the drive's memory, from there to the drive and back, compared on the drive; no processor copies."""
    pong = Ends(bench)
    bdf = bench.server.bdf("near-drive")
    block = bench.must(bench.server, f"basename /sys/bus/pci/devices/{bdf}/nvme/nvme*/nvme*n1").strip()
    for size, words in ((4096, ()), (5000, ()), (4096, ("--passthrough",))):
        before = counter(bench, "bytes_moved"), counter(bench, "odp_pages")
        drive = ("--nvme", f"/dev/{block}", "--drive-range", "1M:4M", *words)
        with pong.serve("--size", size, *QUICK, *drive) as server:
            found = pong.client("--size", size, *QUICK, "--validate")
            equal(found.code, 0, "the exit code of the client")
            said = server.wait(30)
            equal(said.code, 0, "the exit code of the server")
        phases = objects(said.stdout)
        equal([(phase["what"], phase["memory"], phase["method"]) for phase in phases],
              [(what, "p2pmem", "onDemand")
               for what in ("NIC to memory", "to drive", "from drive", "memory to NIC")], "the phases")
        check(objects(found.stdout)[0]["validated"], "the client did not look at the bytes")
        check(counter(bench, "bytes_moved") - before[0] >= 2 * COUNT * size, "the HCA has moved too few bytes")
        check(counter(bench, "odp_pages") > before[1], "the HCA was on no page of an on-demand region")
        step = (size + 511) // 512 * 512
        image = bench.server.drives["near-drive"].read_bytes()
        for message in range(COUNT):
            same_bytes(image[MIB + message * step:][:size], pattern(message, size),
                       f"message {message} of {size} bytes on the drive")
    nothing_is_left(bench)
    no_trouble(bench)
