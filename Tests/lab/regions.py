# SPDX-License-Identifier: Apache-2.0
"""Regions over memory of every kind: registered, proven, and used while the memory is revoked."""
import json
import re

from checks import check, equal, in_order, probed, soon
from hcatool import DEVICE, nothing_is_left, no_trouble, switch, vfio
from registry import HCA, HCA_AMD, LARGE, PAIR, test

PAGE = 4096


def register(bench, device, memory, *options, code=0):
    """Run `peermr register`; its JSON. What it had is the kernel's again when it has ended."""
    result = bench.run(bench.server, [bench.tool, "register", "--device", device, "--memory", memory,
                                      "--prove-bytes", "4K", "--json", *options], 120)
    equal(result.code, code, "the exit code of peermr register")
    return json.loads(result.stdout)


def lost(lines, *patterns, name="lost"):
    """Fail unless a region said why it does not work any more, and what to do, within a second."""
    check(lines.get(name, "").startswith("peerLost: "), f"{name} is no loss: {lines}")
    in_order(lines[name], *patterns)
    check("; " in lines[name], f"there is no remedy in: {lines[name]}")


def proven(report, method):
    """Fail unless a region was made and proven both ways."""
    equal(report["method"], method, "the method")
    proof = report["proof"]
    equal((proof["state"], proof["intoMemory"], proof["outOfMemory"]), ("proven",) * 3, "the proof")
    equal(report["answers"]["data"]["answer"], "yes", "the answer about data")
    check(report["registerMicroseconds"] > 0 and report["localKey"] > 0, "the figures are missing")


# Soft-RoCE


@test(PAIR)
def host_memory_on_rxe(bench):
    """Host memory and p2pmem are registered and proven; the latter on demand, in whole pages."""
    proven(register(bench, "rxe0", "host:64K", "--prove"), "pinned")
    bdf = bench.server.bdf("nvme0")
    free = bench.free_p2pmem()
    report = register(bench, "rxe0", f"p2pmem:{bdf}:64K", "--prove")
    proven(report, "onDemand")
    equal(report["provider"], bdf, "the provider")
    equal(bench.free_p2pmem(), free, "the free p2pmem")


@test(PAIR)
def buffers_on_rxe(bench):
    """Every dma-buf is a no at the API, in under a millisecond, and the remedy says what works."""
    for memory in ("udmabuf:64K", "heap:system:64K", "fd:0", "vfio:0000:00:00.0:0"):
        report = register(bench, "rxe0", memory, "--prove", code=1)
        api = report["answers"]["api"]
        equal((api["answer"], report["method"], report["proof"]), ("no", None, None), memory)
        in_order(api["reason"], "rxe0 imports no dma-bufs", "software device", "95")
        in_order(api["remedy"], "mlx5", "p2pmem on demand", "host memory")
        equal((report["error"]["code"], report["error"]["errno"]), ("notSupported", 95), "the error")
    lines = bench.probed("imports", "rxe0")
    equal((lines["imports"], lines["errno"]), ("false", "95"), "the probe")
    check(int(lines["microseconds"]) < 1000, f"the probe took {lines['microseconds']} µs")
    report = register(bench, "rxe0", "nic:4096", code=1)
    in_order(report["answers"]["api"]["reason"], "rxe0 has no memory of its own for programs")


@test(PAIR)
def bad_input(bench):
    """What people get wrong on the command line: one sentence, exit code 2, an error in JSON."""
    for memory, options, words in (
            ("host:0", (), "SIZE of 0"), ("tape:4K", (), "kind that there is not"),
            ("host:4K", ("--access", "remote-write"), "remote write needs local write"),
            ("host:4K", ("--access", "fly"), 'no access "fly"'),
            ("host:4K", ("--io-address", "0x1000"), "for a dma-buf only"),
            ("host:4K", ("--io-address", "here"), '"here" is no address'),
            ("host:4K", ("--prove-bytes", "many"), '"many" is no number of bytes'),
            ("p2pmem:0000:99:00.0:4K", (), "no PCI function 0000:99:00.0")):
        report = register(bench, "rxe0", memory, *options, code=2)
        in_order(report["error"]["reason"] + report["error"]["remedy"], re.escape(words))
    report = register(bench, "rxe7", "host:4K", code=2)
    in_order(report["error"]["reason"], "no RDMA device rxe7", "rxe0")


@test(PAIR)
def mixed_lists_on_rxe(bench):
    """A header of the host's and a payload of the CMB are one message, out and back in."""
    bdf = bench.server.bdf("nvme0")
    for memory, kind in ((f"p2pmem:{bdf}:64K", "p2pmem"), ("host:64K", "host")):
        result = bench.run(bench.server, [bench.programs / "mixed-scatter", "rxe0", memory], 60)
        equal(result.code, 0, "the exit code of mixed-scatter")
        in_order(result.stdout, r"gathered: \d+ bytes of host memory, all as sent",
                 f"scattered, payload: 65536 bytes of {kind} memory, all as sent")


@test(PAIR, last=True)
def p2pmem_unplugged_in_use(bench):
    """The drive is removed under a region: an error with the cause, for the NIC and for the CPU, and no SIGBUS."""
    bdf = bench.server.bdf("nvme0")
    holder = bench.start(bench.server, [bench.probe, "region-hold", "rxe0", f"p2pmem:{bdf}:64K", "60"])
    holder.wait_for("holding", 60)
    bench.must(bench.server, f"echo 1 > /sys/bus/pci/devices/{bdf}/remove")
    lines = probed(holder.wait(90))
    lost(lines, f"over p2pmem of {bdf}", "was removed|had the driver nvme, and has none now")
    lost(lines, "is gone", name="owner")
    lost(lines, ".", name="proof")
    no_trouble(bench)


@test(PAIR)
def no_stale_key_on_rxe(bench):
    """An address that is p2pmem and host memory in turn: what a cache's key moves is what is there now."""
    times = 100
    lines = bench.probed("region-stale", "rxe0", bench.server.bdf("nvme0"), str(times), timeout=300)
    equal((lines.get("error"), lines.get("stale")), (None, "0"), f"what went wrong: {lines}")
    # p2pmem that is mapped anew is found by its pool and address: the region is over what is mapped there now.
    equal((int(lines["proven"]), int(lines["found"])), (times * 4, times * 3 - 1), "the proofs and the hits")


@test(LARGE)
def chunks_on_rxe(bench):
    """On demand Soft-RoCE refuses 3 GiB; they are as many chunks, each of them proven at both ends. So are 5 GiB."""
    count = 3 << 30
    lines = bench.probed("region-chunks", "rxe0", str(count), timeout=300)
    in_order(lines["whole"], "invalidArgument", "errno 22", "Soft-RoCE takes less than 2 GiB on demand", "in chunks")
    # Of 5 GiB the driver sees one: it registers them, and looks at no more than that at registration.
    more = bench.probed("region-chunks", "rxe0", str(5 << 30), timeout=300)
    for size, found in ((count, lines), (5 << 30, more)):
        check(int(found["chunks"]) - (size >> 30) in (0, 1), f"the chunks: {found}")
        equal((found["chunk bytes"], found["address"], found["covered"], found["proven"], "gap" in found),
              (str(1 << 30), "right", str(size), found["chunks"], False), "what the chunks are")


# The lab HCA


@test(HCA)
def no_stale_key(bench):
    """An address that is p2pmem, a udmabuf and host memory in turn, and a number of several: what a cache's key moves is
    what is there now."""
    # The device's DMA engine takes a tenth of a second for each transfer.
    times = 4
    lines = bench.probed("region-stale", DEVICE, bench.server.bdf("near-drive"), str(times), timeout=300)
    equal((lines.get("error"), lines.get("stale")), (None, "0"), f"what went wrong: {lines}")
    # Two looks at each of three memories of an address, and of two buffers of a number; p2pmem is found again, unless
    # it was evicted.
    equal(int(lines["proven"]), times * 10, "the proofs")
    check(times * 5 <= int(lines["found"]) < times * 6, f"the hits: {lines}")
    check(int(lines["reused"]) > 0, f"a descriptor's number was not used again: {lines}")
    lines = bench.probed("region-stale-reset", DEVICE, vfio(bench, "near"), "2")
    in_order(lines["lost"], "peerLost", "revoked it")
    equal((lines["key"], lines["anew"]), ("another", "works"), "after the reset")
    nothing_is_left(bench)


def found_by_address(bench, device, drive, times, kinds):
    """An address that is p2pmem, other p2pmem, a dma-buf and host memory in turn: every proof, and what was found."""
    lines = bench.probed("region-by-address", device, bench.server.bdf(drive), str(times), timeout=300)
    equal((lines.get("error"), lines.get("stale")), (None, "0"), f"what went wrong: {lines}")
    # Each is found again once; the look at host memory without an arena ends what was on demand there.
    equal((int(lines["proven"]), int(lines["found"]), int(lines["refused"])),
          (2 * kinds * times, kinds * times, times), "the proofs, the hits and the refusals")
    print(f"     found by its address in {lines['nanoseconds']} ns, in QEMU", flush=True)


@test(PAIR)
def by_address_on_rxe(bench):
    """What is mapped at an address is found by that alone, and no key of what was there before is given."""
    free = bench.free_p2pmem()
    found_by_address(bench, "rxe0", "nvme0", 50, 2)
    equal(bench.free_p2pmem(), free, "the free p2pmem afterwards")


@test(HCA)
def by_address(bench):
    """The same with dma-bufs, and bytes that a device's DMA engine moves."""
    found_by_address(bench, DEVICE, "near-drive", 4, 3)
    nothing_is_left(bench)


@test(HCA)
def provider_unbound_and_back(bench):
    """The drive's driver goes and comes back: keys of before move nothing, and none is given for what is mapped still."""
    bdf, driver = bench.server.bdf("near-drive"), "/sys/bus/pci/drivers/nvme"
    bench.later(lambda: bench.server.run(f"test -e {driver}/{bdf} || echo {bdf} > {driver}/bind"))
    lines = bench.probed("region-provider-gone", DEVICE, bdf, "unbinds", "3", timeout=300)
    gone_for_good(lines, 3)
    in_order(lines["again"], "peerLost", "is gone")
    nothing_is_left(bench)


def gone_for_good(lines, times):
    """By address and by object: proven before, dead after, refused from then on."""
    equal((lines.get("error"), lines.get("stale")), (None, "0"), f"what went wrong: {lines}")
    equal((lines["proven"], lines["dead"], lines["refused"]), (str(2 * times),) * 3, f"{lines}")
    in_order(lines["then"], "peerLost")


@test(HCA_AMD, last=1)
def provider_unplugged(bench):
    """The drive is taken out of its slot under a cache."""
    bdf = bench.server.bdf("far-drive")
    holder = bench.start(bench.server, [bench.probe, "region-provider-gone", DEVICE, bdf, "waits", "1"])
    holder.wait_for("ready", 60)
    bench.server.unplug("far-drive")
    gone_for_good(probed(holder.wait(120)), 1)
    no_trouble(bench)


@test(HCA_AMD)
def display_memory(bench):
    """Memory of a display driver, exported by PRIME, is registered and proven; a card that there is not is named."""
    found = bench.probed("open", "drm:card0:1M")
    equal((found["kind"], found["bytes"], found["round trip"]), ("dmabuf", str(1 << 20), "equal"), "the buffer")
    equal(found["provider"], bench.server.bdf("display"), "the provider")
    report = register(bench, DEVICE, "drm:card0:64K", "--prove")
    proven(report, "dmaBuf")
    equal((report["owner"], report["proof"]["owner"]), ("host", "host"), "the owner")
    in_order(report["proof"]["reason"], "the memory is the host's, which drm handed out", "was not reached")
    report = register(bench, DEVICE, "drm:card7:64K", code=2)
    in_order(report["error"]["reason"], "there is no /dev/dri/card7")
    # A device that has a render node: its display node gives the buffer.
    bench.must(bench.server, "modprobe vgem && ls /dev/dri/renderD128")
    bench.later(lambda: bench.server.run("modprobe -r vgem"))
    found = bench.probed("open", "drm:renderD128:1M")
    equal((found["kind"], found["bytes"], found["round trip"]), ("dmabuf", str(1 << 20), "equal"), "by the render node")


@test(HCA)
def every_exporter_on_the_hca(bench):
    """A BAR by vfio, udmabuf, dma-heap and host memory: registered, proven by the device's DMA, gone."""
    near = vfio(bench, "near")
    for memory, exporter in ((f"vfio:{near}:2:0:4096", "vfio_pci_core"), ("udmabuf:4K", "udmabuf"),
                             ("heap:system:4K", "system")):
        report = register(bench, DEVICE, memory, "--prove")
        proven(report, "dmaBuf")
        equal((report["exporter"], report["length"], report["answers"]["route"]["answer"]),
              (exporter, PAGE, "yes"), "the buffer")
        equal(report["owner"], "peer" if exporter == "vfio_pci_core" else "host", f"the owner of {memory}")
        nothing_is_left(bench)
    proven(register(bench, DEVICE, "host:4K", "--prove"), "pinned")
    equal(bench.probed("region-again", DEVICE, "udmabuf:64K", "100")["registered"], "100", "the regions")
    nothing_is_left(bench)


@test(HCA)
def part_inside_pages(bench):
    """A part that begins inside a page: its window keeps its place, the rest is told as slack."""
    near = vfio(bench, "near")
    report = register(bench, DEVICE, f"vfio:{near}:2:5000:100", "--prove", "--io-address",
                      hex(0x7f00_0000_0000 + 5000 % PAGE))
    proven(report, "dmaBuf")
    equal((report["ioAddress"], report["length"], report["slack"]),
          (hex(0x7f00_0000_0000 + 904), 100, {"before": 904, "after": PAGE - 904 - 100}), "the window")
    nothing_is_left(bench)


@test(HCA)
def bad_parts(bench):
    """Wrong parts and descriptors, each with the sentence that the user sees; 0 is a descriptor like any."""
    lines = bench.probed("region-refusals", DEVICE, "udmabuf:64K")
    for name in ("good", "inside a page", "descriptor 0"):
        equal(lines[name], "no error", name)
    for name, words in (
            ("wrong offset", "1 bytes at offset 65536 are not inside a dma-buf of 65536 bytes"),
            ("wrong length", "65537 bytes at offset 0 are not inside a dma-buf of 65536 bytes"),
            ("length 0", "0 bytes of a dma-buf"), ("length 2^63", "9223372036854775808 bytes at offset 0"),
            ("misaligned", "I/O address 0x1 does not fit the offset 0"), ("on demand", "its exporter decides"),
            ("remote write only", "add local write access"), ("closed", "is not open"),
            ("file", "is not a dma-buf"), ("read only", "exported for reading only")):
        check(lines[name].startswith("invalidArgument: ") and "; " in lines[name], f"{name}: {lines[name]}")
        in_order(lines[name], words)
    nothing_is_left(bench)


@test(HCA)
def refused_by_the_route(bench):
    """Two root ports of an Intel processor: PeerMR says no before, the kernel says no, for the same reason."""
    far = vfio(bench, "far")
    said = bench.run(bench.server, [bench.tool, "check", far, DEVICE], 60)
    equal(said.code, 1, "the exit code of peermr check")
    report = register(bench, DEVICE, f"vfio:{far}:2:0:4096", "--prove", code=1)
    route = report["answers"]["route"]
    equal((route["answer"], report["method"], report["error"]["errno"]), ("no", None, 22), "the refusal")
    check(route["reason"] in report["error"]["reason"], "the error does not have the route's reason")
    in_order(said.stdout, "not supported", "meet nowhere below the root complex")
    in_order(report["error"]["reason"], "as expected", "meet nowhere below the root complex")
    nothing_is_left(bench)


@test(HCA)
def refused_by_the_exporter(bench):
    """An importer that cannot be revoked: vfio refuses it and PeerMR says why; udmabuf does not."""
    near = vfio(bench, "near")
    switch(bench, "import", "pinned")
    report = register(bench, DEVICE, f"vfio:{near}:2:0:4096", code=1)
    equal((report["error"]["errno"], report["answers"]["api"]["answer"]), (95, "yes"), "the refusal")
    in_order(report["error"]["reason"], "vfio_pci_core", "revoke the memory at any time")
    in_order(report["error"]["remedy"], "mlx5")
    register(bench, DEVICE, "udmabuf:4K")
    for number, words in ((12, "no room for its mapping"), (19, "revoked the memory"),
                          (121, "no DMA between"), (524, "cannot map it")):
        switch(bench, "fail_registration", number)
        report = register(bench, DEVICE, "udmabuf:4K", code=1)
        equal(report["error"]["errno"], number, "the errno")
        in_order(report["error"]["reason"], words)
        switch(bench, "fail_registration", 0)
    nothing_is_left(bench)


@test(HCA)
def mixed_lists_on_the_hca(bench):
    """A header of the host's and a payload of a BAR are one message, moved by the device's DMA."""
    near = vfio(bench, "near")
    for memory in (f"vfio:{near}:2:0:4096", f"vfio:{near}:2:6000:1000", "udmabuf:4K"):
        result = bench.run(bench.server, [bench.programs / "mixed-scatter", DEVICE, memory], 90)
        equal(result.code, 0, "the exit code of mixed-scatter")
        in_order(result.stdout, "gathered: .* all as sent",
                 r"scattered, payload: \d+ bytes of dmabuf memory, all as sent")
    nothing_is_left(bench)


@test(HCA)
def reset_in_use(bench):
    """A reset by vfio: the next use says who took the memory; registered anew it works."""
    near = vfio(bench, "near")

    def reset():
        lines = bench.probed("region-reset", DEVICE, near, "2")
        equal((lines["before"], lines["anew"]), ("works", "works"), "before and after")
        lost(lines, f"dma-buf of vfio_pci_core of {near}", "revoked it", "access error", "export")
        lost(lines, "revoked it", name="proof")
        nothing_is_left(bench)
        return int(lines["microseconds"]) / 1e6
    soon(reset, 1, "to say so")


@test(HCA)
def exporter_unbound_in_use(bench):
    """The exporter's driver is unbound: the region says so, and with it goes what the unbinding waits for."""
    near = vfio(bench, "near")
    holder = bench.start(bench.server, [bench.probe, "region-hold", DEVICE, f"vfio:{near}:2:0:4096", "60"])
    holder.wait_for("holding", 60)
    unbind = bench.start(bench.server, f"echo {near} > /sys/bus/pci/drivers/vfio-pci/unbind")
    lost(probed(holder.wait(90)), "about to lose its memory", "vfio-pci", "release")
    equal(unbind.wait(30).code, 0, "the exit code of unbinding")
    vfio(bench, "near")
    nothing_is_left(bench)


@test(HCA)
def hca_unbound_in_use(bench):
    """The NIC's driver is unbound: the region says that the NIC is gone, and nothing hangs."""
    function = bench.must(bench.server, f"basename $(readlink -f /sys/class/infiniband/{DEVICE}/device)").strip()
    drivers = "/sys/bus/pci/drivers/labhca"
    holder = bench.start(bench.server, [bench.probe, "region-hold", DEVICE, "udmabuf:4096", "60"])
    holder.wait_for("holding", 60)
    bench.later(lambda: bench.server.run(f"echo {function} > {drivers}/bind"))
    bench.must(bench.server, f"echo {function} > {drivers}/unbind")
    lines = probed(holder.wait(90))
    for name in ("lost", "again", "proof"):
        lost(lines, f"{DEVICE} is (gone|being removed)", name=name)
    bench.must(bench.server, f"echo {function} > {drivers}/bind")
    proven(register(bench, DEVICE, "udmabuf:4K", "--prove"), "dmaBuf")
    nothing_is_left(bench)


@test(HCA_AMD, last=1)
def exporter_unplugged_in_use(bench):
    """The function is taken out of its slot: an error with the cause, and no crash."""
    far = vfio(bench, "far")
    holder = bench.start(bench.server, [bench.probe, "region-hold", DEVICE, f"vfio:{far}:2:0:4096", "60"])
    holder.wait_for("holding", 60)
    bench.server.unplug("far")
    lost(probed(holder.wait(90)), far)
    no_trouble(bench)


@test(HCA_AMD, last=2)
def disproven(bench):
    """Registered, completed, and nothing arrived, as QEMU's switches have it behind an IOMMU: the proof says no."""
    near = vfio(bench, "near")
    report = register(bench, DEVICE, f"vfio:{near}:2:0:4096", "--prove", code=1)
    proof = report["proof"]
    equal((report["method"], proof["state"], proof["intoMemory"]), ("dmaBuf", "disproven", "disproven"), "the proof")
    check(proof["firstDifference"] is not None, "where it differs is not said")
    equal(report["answers"]["data"]["answer"], "no", "the answer about data")


@test(HCA_AMD)
def through_the_host_bridge(bench):
    """An AMD processor's root ports are joined: registered, and proven, through the IOMMU."""
    far = vfio(bench, "far")
    report = register(bench, DEVICE, f"vfio:{far}:2:0:4096", "--prove")
    proven(report, "dmaBuf")
    in_order(report["answers"]["route"]["reason"], "through the host bridge")
