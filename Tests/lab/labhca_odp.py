# SPDX-License-Identifier: Apache-2.0
"""The lab HCA and on-demand regions: p2pmem of drives that its DMA engine writes and reads."""
import re

from checks import check, equal, in_order
from hcatool import DEVICE, counter, no_trouble, nothing_is_left, says, script, start
from registry import HCA, HCA_AMD, test

SIZE = 16384
ON_DEMAND = "lrwo"
BOTH_WAYS = ("write p+4090 a+11:5000", "wait", "check p 7 4090 5000 11", "check p 0 9090 1000",
             "fill a 0", "read p+4090 a+3:5000", "wait", "check a 7 3 5000 11", "check a 0 5003 1000")
RIGHT = ["write success", "check p same", "check p same", "read success", "check a same",
         "check a same"]


def drive(bench, name):
    """The PCI address of a drive of the layout, and the addresses on the bus of its memory buffer."""
    bdf = bench.server.bdf(name)
    found = bench.must(bench.server, f"sed -n 3p /sys/bus/pci/devices/{bdf}/resource").split()
    return bdf, range(int(found[0], 16), int(found[1], 16) + 1)


def prepare(bdf, access=ON_DEMAND):
    """The commands with host memory `a` and p2pmem `p` of a drive, both registered."""
    return ("host a 20000", f"p2pmem p {bdf} {SIZE}", "fill a 7", "fill p 0", "register a",
            f"register p {access}", "connect")


def region(text):
    """What the driver tells of an on-demand region: its route, address, and number of pages."""
    found = re.search(r"drv_memory on-demand drv_route (\S+) drv_dma (0x[0-9a-f]+) drv_pages (\d+)",
                      "\n".join(text))
    check(found, f"rdma resource does not tell of the region: {text}")
    return found[1], int(found[2], 16), int(found[3])


def seen(bench, *commands):
    """What the driver tells of the one on-demand region of a script."""
    return region(script(bench, *commands, "shell rdma resource show mr -dd"))


def complaint(bench, bdf):
    """Fail unless the kernel's log tells why it refused to map memory of a function."""
    lines = [line for line in bench.server.dmesg().splitlines()
             if "cannot be used for peer-to-peer DMA as the client and provider" in line and bdf in line]
    check(lines, "the kernel's log does not tell of the refusal")


@test(HCA)
def is_offered(bench):
    """The device says what it can do on demand; all of the address space in one region it cannot."""
    in_order(bench.must(bench.server, ["ibv_devinfo", "-v", "-d", DEVICE]),
             r"general_odp_caps:\s+ODP_SUPPORT\n\s+rc_odp_caps:", "SUPPORT_SEND", "SUPPORT_RECV",
             "SUPPORT_WRITE", "SUPPORT_READ", r"uc_odp_caps:\s+NO SUPPORT")
    says(bench, ["register-everything EOPNOTSUPP"], "register-everything")


@test(HCA)
def host_memory(bench):
    """Pages come when the engine needs them, and new ones after the old were thrown away."""
    before = counter(bench, "odp_pages"), counter(bench, "odp_invalidations")
    says(bench, RIGHT + ["write success", "check p same"],
         "host a 20000", "host p 16384", "register a", "register p lrwo", "fill a 7", "connect",
         *BOTH_WAYS, "discard p", "fill a 9", "write p+4096 a+0:10", "wait", "check p 9 4096 10 0")
    # By 4095 bytes, 4090 to 9090 are four pieces of pages: each way, and then one more.
    equal(counter(bench, "odp_pages") - before[0], 9, "the pages on which the engine ran")
    check(counter(bench, "odp_invalidations") > before[1], "no page was invalidated")
    says(bench, ["write remote access error"], "host a 4096", "host p 4096", "register a",
         "register p lrwo", "connect", "unmap p", "write p+0 a+0:10", "wait")
    nothing_is_left(bench)


@test(HCA)
def p2pmem_behind_the_same_switch(bench):
    """The engine writes and reads a drive's memory by bus address, at places inside pages."""
    bdf, bar = drive(bench, "near-drive")
    says(bench, RIGHT, *prepare(bdf), *BOTH_WAYS)
    route, address, pages = seen(bench, *prepare(bdf))
    check(address in bar, f"the engine's address {address:#x} is none of the drive's")
    equal((route, pages), ("bus-address", SIZE // 4096), "the route and the pages at registration")
    # Pinned it cannot be registered, which is why it is on demand.
    says(bench, ["register EFAULT"], f"p2pmem p {bdf} {SIZE}", "register p")
    nothing_is_left(bench)


@test(HCA)
def p2pmem_behind_another_root_port(bench):
    """On an Intel processor the kernel refuses to map it when it is registered, and logs why."""
    bdf, _ = drive(bench, "far-drive")
    says(bench, ["register EFAULT"], f"p2pmem p {bdf} {SIZE}", "register p lrwo")
    complaint(bench, bdf)
    # Without pages there is nothing to refuse yet: a registration that succeeds proves nothing.
    before = counter(bench, "bytes_moved")
    says(bench, ["write remote access error"], "host a 4096", f"p2pmem p {bdf} {SIZE}", "register a",
         "discard p", "register p lrwo", "connect", "write p+0 a+0:10", "wait")
    equal(counter(bench, "bytes_moved"), before, "the bytes that were moved")
    nothing_is_left(bench)


@test(HCA_AMD)
def p2pmem_through_the_host_bridge(bench):
    """On an AMD processor root ports are joined: bytes cross both ways, by an address of the IOMMU."""
    bdf, bar = drive(bench, "far-drive")
    says(bench, RIGHT, *prepare(bdf), *BOTH_WAYS)
    route, address, _ = seen(bench, *prepare(bdf))
    equal(route, "host-bridge", "the route")
    check(address not in bar, f"the engine uses the address {address:#x}, and not one of the IOMMU")
    nothing_is_left(bench)


@test(HCA)
def part_of_a_page(bench):
    """A region that begins and ends inside pages reaches that part and not a byte beyond."""
    bdf, _ = drive(bench, "near-drive")
    for place, status in ((1000, "success"), (5990, "success"), (999, "remote access error"),
                          (5991, "remote access error")):
        says(bench, [f"write {status}", "check p same", "check p same"],
             *prepare(bdf, "lrwo 1000 5000"), f"write p+{place} a+0:10", "wait",
             f"check p {7 if status == 'success' else 0} {place} 10 0",
             f"check p 0 {place + 10} 10")
    nothing_is_left(bench)


@test(HCA)
def rights_of_a_region(bench):
    """A region for reading is read and not written, as the other end's memory and as one's own."""
    bdf, _ = drive(bench, "near-drive")
    cases = [("ro", "read p+0 a+0:10", "read success"),
             ("ro", "write p+0 a+0:10", "write remote access error"),
             ("o", "write a+0 p+0:10", "write success"),
             ("o", "read a+0 p+0:10", "read local protection error"),
             ("lo", "read a+0 p+0:10", "read success"),
             ("lo", "read p+0 a+0:10", "read remote access error")]
    for access, command, status in cases:
        says(bench, [status], *prepare(bdf, access), command, "wait")
    nothing_is_left(bench)


@test(HCA)
def several_regions(bench):
    """Regions over one piece of p2pmem have their own rights and ends, and lose the memory together."""
    bdf, _ = drive(bench, "near-drive")
    prepared = (*prepare(bdf), "alias q p 4096 8192", "register q lrwo")
    says(bench, ["write success", "check p same", "write success", "check p same",
                 "write success", "check q same"], *prepared,
         "write p+4196 a+0:100", "wait", "check p 7 4196 100 0",
         "write q+200 a+0:100", "wait", "check p 7 4296 100 0",
         "deregister p", "write q+300 a+0:100", "wait", "check q 7 300 100 0")
    says(bench, ["write success", "write remote access error"], *prepared, "unmap q",
         "write p+0 a+0:100", "wait", "write q+0 a+0:100", "wait")
    says(bench, ["write remote access error"], *prepared, "unmap q", "write p+4096 a+0:100", "wait")
    # From one drive's memory to its other part, through the engine and no processor.
    says(bench, ["write success", "check p same"], *prepared, "fill p 5", "write q+0 p+0:100", "wait",
         "check p 5 4096 100 0")
    nothing_is_left(bench)


@test(HCA)
def unmapped_under_a_region(bench):
    """Unmapped memory is reached no more, in the middle of a request either; the pool has it back."""
    bdf, _ = drive(bench, "near-drive")
    free = f"cat /sys/bus/pci/devices/{bdf}/p2pmem/available"
    before = bench.must(bench.server, free)
    for prepared, status in ((("unmap p", "write p+0 a+0:10"), "write remote access error"),
                             (("unmap p", "write a+0 p+0:10"), "write local protection error"),
                             (("discard p", "write p+0 a+0:10"), "write remote access error"),
                             (("write p+0 a+0:16384", "shell sleep 0.3", "unmap p"),
                              "write remote access error")):
        found = script(bench, *prepare(bdf), *prepared, "wait", "state")
        equal([line for line in found if line != "shell 0"], [status, "state error"],
              f"what came of {prepared}")
    route, address, pages = seen(bench, *prepare(bdf), "unmap p")
    equal((route, address, pages), ("absent", 0, 0), "what the driver tells of it then")
    equal(bench.must(bench.server, free), before, "the free p2pmem afterwards")
    # The region is there until it is deregistered, and the address is free for other memory.
    says(bench, ["write remote access error", "write success"], *prepare(bdf), "unmap p",
         "write p+0 a+0:10", "wait", "deregister p", f"p2pmem n {bdf} {SIZE}", "register n lrwo",
         "connect", "write n+0 a+0:10", "wait")
    nothing_is_left(bench)


@test(HCA)
def killed_in_the_middle(bench):
    """A program that is killed while the engine writes to p2pmem leaves nothing, in the pool either."""
    bdf, _ = drive(bench, "near-drive")
    free = f"cat /sys/bus/pci/devices/{bdf}/p2pmem/available"
    before = bench.must(bench.server, free)
    process = start(bench, *prepare(bdf), "write p+0 a+0:16384", "write p+0 a+0:16384",
                    "wait-for /tmp/never")
    process.wait_for("waiting", 60)
    process.signal("KILL")
    equal(process.wait(20).code, 137, "the exit code of the killed program")
    nothing_is_left(bench)
    bench.settles(lambda: bench.must(bench.server, free), before, "the free p2pmem")


@test(HCA)
def unbound_under_a_region(bench):
    """The drive's driver goes while the engine writes to its memory: an error, and no other loss."""
    bdf, _ = drive(bench, "near-drive")
    bind = "/sys/bus/pci/drivers/nvme/"
    bench.later(lambda: bench.server.run(f"test -e {bind}{bdf} || echo {bdf} > {bind}bind"))
    found = script(bench, *prepare(bdf), "write p+0 a+0:16384", "shell sleep 0.3",
                   f"shell echo {bdf} > {bind}unbind", "wait", "state", "deregister p",
                   f"shell test ! -e /sys/bus/pci/devices/{bdf}/p2pmem",
                   # The device goes on with other memory.
                   "connect", "write a+0 a+100:10", "wait")
    equal([line for line in found if not line.startswith("shell 0")],
          ["write remote access error", "state error", "write success"], "what came of the unbinding")
    bench.must(bench.server, f"echo {bdf} > {bind}bind")
    bench.settles(lambda: bench.run(bench.server, f"test -e /sys/bus/pci/devices/{bdf}/p2pmem/allocate").code,
                  0, "whether the memory is back", 30)
    says(bench, RIGHT, *prepare(bdf), *BOTH_WAYS)
    nothing_is_left(bench)
    no_trouble(bench)
