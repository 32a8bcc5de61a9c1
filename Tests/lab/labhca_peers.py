# SPDX-License-Identifier: Apache-2.0
"""The lab HCA and the memory of others, as dma-bufs: real PCI peer-to-peer DMA, and its refusals."""
import re

from checks import check, equal
from hcatool import (DEVICE, MIB, counter, held, no_trouble, nothing_is_left, says, script, start,
                     switch, vfio)
from registry import HCA, HCA_AMD, test

FUNCTION = f"$(basename $(readlink -f /sys/class/infiniband/{DEVICE}/device))"


@test(HCA)
def buffers_of_host_memory(bench):
    """udmabuf and dma-heap buffers are written and read by the device, at places inside pages."""
    for kind in ("udmabuf", "heap"):
        says(bench, ["write success", "check d same", "check d same", "read success", "check a same"],
             "host a 20000", f"{kind} d 16384", "fill d 0", "fill a 7", "register a", "register d",
             "connect", "write d+4090 a+11:5000", "wait", "check d 7 4090 5000 11",
             "check d 0 9090 7294", "fill d 9", "read d+8190 a+3:5000", "wait",
             "check a 9 3 5000 8190")
    nothing_is_left(bench)


@test(HCA)
def part_of_a_buffer(bench):
    """A region of a part of a buffer reaches that part and not a byte beyond."""
    for place, status in ((1000, "success"), (5990, "success"), (999, "remote access error"),
                          (5991, "remote access error")):
        found = script(bench, "host a 4096", "udmabuf d 8192", "fill d 0", "fill a 7", "register a",
                       "register d lrw 1000 5000", "connect", f"write d+{place} a+0:10", "wait",
                       f"check d {7 if status == 'success' else 0} {place} 10 0")
        equal(found, [f"write {status}", "check d same"], f"a write at {place}")
    says(bench, ["register EINVAL"] * 4, "udmabuf d 8192", "register d lrw 0 8193",
         "register d lrw 8192 1", "register d lrw 0 0", "register d rw")
    says(bench, ["register EBADF"], "udmabuf d 8192", "close-buffer d", "register d")
    nothing_is_left(bench)


@test(HCA)
def buffer_outlives_its_descriptor(bench):
    """The region goes on working when the dma-buf's descriptor has been closed."""
    says(bench, ["write success", "check d same"], "host a 4096", "heap d 4096", "fill a 7",
         "register a", "register d", "close-buffer d", "connect", "write d+5 a+0:100", "wait",
         "check d 7 5 100 0")
    nothing_is_left(bench)


@test(HCA)
def memory_behind_the_same_switch(bench):
    """A BAR of another function is reached by bus address, and bytes cross both ways."""
    near = vfio(bench, "near")
    says(bench, ["write success", "check d same", "check d same", "read success", "check a same",
                 "write success", "check u same"],
         "host a 20000", f"vfio d {near} {2 * MIB}", "udmabuf u 8192", "fill d 0", "fill a 7",
         "register a", "register d", "register u", "connect",
         "write d+1048571 a+11:5000", "wait", "check d 7 1048571 5000 11", "check d 0 1053571 1000",
         "fill a 0", "read d+1048571 a+0:5000", "wait", "check a 7 0 5000 11",
         # from peer memory into a host buffer in one request, gathered from both
         "write u+0 d+1048571:100 a+0:100", "wait", "check u 7 0 100 11")
    equal(*_addresses(bench, near), "the engine's address of the BAR")
    nothing_is_left(bench)


def _addresses(bench, bdf):
    """Where the engine finds a function's BAR 2, and where that is on the bus."""
    said = script(bench, f"vfio d {bdf} {2 * MIB}", "register d", "shell rdma resource show mr -dd")
    found = re.search(r"drv_dma (0x[0-9a-f]+) ", "\n".join(said))
    check(found, f"rdma resource does not tell of the region: {said}")
    bar = bench.must(bench.server, f"sed -n 3p /sys/bus/pci/devices/{bdf}/resource").split()[0]
    return int(found[1], 16), int(bar, 16)


@test(HCA)
def memory_behind_another_root_port(bench):
    """On an Intel processor the kernel refuses peers without a common bridge, and logs why."""
    far = vfio(bench, "far")
    says(bench, ["register EINVAL"], f"vfio d {far} {2 * MIB}", "register d")
    # The kernel says it once for each pair.
    log = bench.server.dmesg()
    check("cannot be used for peer-to-peer DMA as the client and provider" in log and far in log,
          "the kernel's log does not tell of the refusal")
    nothing_is_left(bench)


@test(HCA_AMD)
def memory_through_the_host_bridge(bench):
    """On an AMD processor root ports are joined: bytes cross both ways, by an address of the IOMMU."""
    far = vfio(bench, "far")
    says(bench, ["write success", "check d same", "read success", "check a same"],
         "host a 20000", f"vfio d {far} {2 * MIB}", "fill d 0", "fill a 7", "register a",
         "register d", "connect", "write d+1048571 a+11:5000", "wait", "check d 7 1048571 5000 11",
         "fill a 0", "read d+1048571 a+0:5000", "wait", "check a 7 0 5000 11")
    address, bar = _addresses(bench, far)
    check(address != bar, f"the engine uses the bus address {bar:#x}, and not one of the IOMMU")
    nothing_is_left(bench)


@test(HCA_AMD, last=2)
def success_without_data(bench):
    """Registered, completed with success, and nothing arrived: why a region has to be proven.

    The kernel has the engine use the bus address, as a switch would pass it on. QEMU's switches
    send everything through the IOMMU, which drops it: as a real one with access control would.
    """
    near = vfio(bench, "near")
    says(bench, ["write success", "check d same", "read success", "check a 64 of 64 differ"],
         "host a 4096", f"vfio d {near} {2 * MIB}", "fill d 3", "fill a 7", "register a", "register d",
         "connect", "write d+0 a+0:64", "wait", "check d 3 0 64", "read d+0 a+0:64", "wait",
         "check a 3 0 64")
    check("DMAR: [DMA Write NO_PASID]" in bench.server.dmesg(), "the IOMMU tells of no fault")


@test(HCA)
def pinned_import(bench):
    """An importer that cannot be revoked gets host memory, and is refused by vfio."""
    near = vfio(bench, "near")
    switch(bench, "import", "pinned")
    says(bench, ["register EOPNOTSUPP", "write success", "check u same"],
         "host a 4096", "udmabuf u 4096", "heap h 4096", f"vfio d {near} {2 * MIB}", "fill a 7",
         "register a", "register u", "register h", "register d", "connect", "write u+0 a+0:100",
         "wait", "check u 7 0 100")
    nothing_is_left(bench)


@test(HCA)
def revoked_by_reset(bench):
    """A reset takes the memory back: requests that name it fail, also one that is under way."""
    near = vfio(bench, "near")
    before = counter(bench, "revocations")
    prepare = ("host a 100000", f"vfio d {near} {2 * MIB}", "fill a 7", "register a", "register d",
               "connect")
    # as target, as source, and in the middle of 5 seconds of copying
    for commands, status in ((("reset d", "write d+0 a+0:10"), "write remote access error"),
                             (("reset d", "write a+0 d+0:10"), "write local protection error"),
                             (("write d+0 a+0:100000", "shell sleep 1", "reset d"),
                              "write remote access error")):
        found = script(bench, *prepare, *commands, "wait", "state")
        equal([line for line in found if line != "shell 0"], [status, "state error"],
              f"what came of {commands}")
    equal(counter(bench, "revocations") - before, 3, "the number of revocations")
    # Registered again it works again.
    says(bench, ["write success", "check d same"], *prepare, "reset d", "deregister d", "register d",
         "write d+0 a+0:100", "wait", "check d 7 0 100")
    nothing_is_left(bench)


@test(HCA)
def revoked_by_close(bench):
    """Closing the vfio device takes the memory back for good."""
    near = vfio(bench, "near")
    says(bench, ["write success", "write remote access error", "register ENODEV"],
         "host a 4096", f"vfio d {near} {2 * MIB}", "register a", "register d", "connect",
         "write d+0 a+0:10", "wait", "close d", "write d+0 a+0:10", "wait", "deregister d",
         "register d")
    nothing_is_left(bench)


@test(HCA)
def without_dmabuf(bench):
    """Loaded with no_dmabuf it is a device whose driver cannot import: EOPNOTSUPP, fd -1 too."""
    reload(bench, "no_dmabuf=1")
    bench.later(lambda: reload(bench))
    says(bench, ["register EOPNOTSUPP", "register EOPNOTSUPP"], "host a 4096", "udmabuf u 4096",
         "udmabuf v 4096", "register a", "register u", "close-buffer v", "register v")
    nothing_is_left(bench)


def reload(bench, options=""):
    """Unload the module and load it anew."""
    bench.must(bench.server, f"rmmod labhca && insmod /opt/labhca/labhca.ko {options}")


def _in_use(bench):
    """A program in the middle of writing to a dma-buf and to a peer; waits for /tmp/go."""
    near = vfio(bench, "near")
    bench.must(bench.server, "rm -f /tmp/go")
    process = start(bench, "host a 400000", f"vfio d {near} {2 * MIB}", "udmabuf u 4096", "fill a 7",
                    "register a", "register d", "register u", "connect", "write d+0 a+0:400000",
                    "wait-for /tmp/go", "event", "wait", "register a", "deregister d")
    process.wait_for("waiting", 60)
    return process


def _ends_with_errors(bench, process):
    """The program finds its device gone, and the kernel holds nothing for it, though it runs."""
    bench.settles(lambda: held(bench)["dma-bufs"], 2, "the dma-bufs, which the program has open")
    bench.must(bench.server, "touch /tmp/go")
    lines = process.wait(20).stdout.splitlines()
    equal(lines[-4:], ["event local catastrophic error", "poll failed", "register EIO",
                       "deregister ok"], "what the program found")


@test(HCA)
def unbound_in_use(bench):
    """Unbound from its driver while it copies, it is gone in a moment, and comes back clean."""
    process = _in_use(bench)
    function = bench.must(bench.server, f"echo {FUNCTION}").strip()
    path = "/sys/bus/pci/drivers/labhca"
    unbound = bench.run(bench.server, f"echo {function} > {path}/unbind", 60)
    equal(unbound.code, 0, "the exit code of unbinding")
    # The program would go on for minutes.
    check(unbound.seconds < 15, f"unbinding took {unbound.seconds:.1f} s")
    _ends_with_errors(bench, process)
    no_trouble(bench)
    bench.must(bench.server, f"echo {function} > {path}/bind")
    says(bench, ["write success"], "host a 4096", "register a", "connect", "write a+0 a+10:10", "wait")
    nothing_is_left(bench)


@test(HCA, last=True)
def unplugged_in_use(bench):
    """Taken out of its slot while it copies: errors, no crash; then the module is unloaded."""
    process = _in_use(bench)
    hca = bench.server.bdf("hca")
    bench.server.unplug("hca")
    bench.settles(lambda: bench.must(bench.server, "ls /sys/class/infiniband"), "",
                  "the RDMA devices after the unplug", 30)
    _ends_with_errors(bench, process)
    check(not bench.run(bench.server, ["ls", f"/sys/bus/pci/devices/{hca}"]).stdout,
          "the function is still there")
    bench.must(bench.server, "rmmod labhca && ! grep -q '^labhca ' /proc/modules")
    equal(held(bench).get("dma-bufs"), 0, "the dma-bufs that are left")
    no_trouble(bench)
