# SPDX-License-Identifier: Apache-2.0
"""ping-pong over the lab HCA, with dma-bufs of every exporter as its memory: real PCI peer-to-peer DMA.

The HCA takes 0.2 s for 4095 bytes: there are few messages, and small ones.
"""
import contextlib

from checks import check, equal, objects
from hcatool import DEVICE, counter, nothing_is_left, switch, vfio
from pingpong_ends import PingPong
from registry import HCA, HCA_AMD, test

COUNT = 4
QUICK = ("--device", DEVICE, "--events", "--iterations", COUNT)
THEIRS = ("ibv_rc_pingpong", "-d", DEVICE, "-e", "-n", str(COUNT))
# Inside a page, and more than the HCA moves at once.
SIZES = (100, 5000)


class Ends(PingPong):
    """Two programs on the one host with the HCA, which find each other by LID."""

    def __init__(self, bench):
        super().__init__(bench)
        bench.must(self.host, "ip link set lo up; ls /dev/udmabuf /dev/dma_heap/system")

    def client(self, *options, host="127.0.0.1", timeout=120):
        """Run a client to its end; the figures are JSON."""
        return super().client(*options, host=host, timeout=timeout)

    def trip(self, operation, size, here, there):
        """Messages between the memory `here` and the memory `there`, every byte looked at by both ends."""
        words = ("--operation", operation, "--size", size, *QUICK, "--validate")
        with self.serve("--size", size, *QUICK, "--validate", "--memory", there) as server:
            result = self.client(*words, "--memory", here)
            equal(result.code, 0, f"the exit code of the client, {operation} {here} {there}")
            said = server.wait(30)
            equal(said.code, 0, f"the exit code of the server, {operation} {here} {there}")
        kind, method = {"host": ("host", "pinned"), "p2pmem": ("p2pmem", "onDemand")}.get(
            here.split(":")[0], ("dmabuf", "dmaBuf"))
        (run,) = objects(result.stdout)
        equal((run["what"], run["bytes"], run["memory"], run["validated"], run["method"]),
              (operation, size, kind, True, method), "the run")
        check(" LID 0x" in result.stderr, "the ends do not say that a LID is their address")


@test(HCA)
def bar_behind_the_switch(bench):
    """SEND, WRITE and READ between the host and another function's BAR, by bus address, looked at through vfio."""
    pong = Ends(bench)
    bar = f"vfio:{vfio(bench, 'near')}:2"
    for operation in ("send", "write", "read"):
        for size in SIZES:
            before = counter(bench, "bytes_moved")
            pong.trip(operation, size, "host", bar)
            # Each way once, and each through the HCA's buffer.
            ways = 1 if operation == "read" else 2
            equal(counter(bench, "bytes_moved") - before, COUNT * ways * size, "the bytes that the HCA has moved")
    pong.trip("send", SIZES[1], bar, "host")
    pong.trip("read", SIZES[1], bar, "host")
    nothing_is_left(bench)


@test(HCA)
def buffers_at_both_ends(bench):
    """dma-bufs of udmabuf, of a heap and of vfio, as the client's memory and as the server's."""
    pong = Ends(bench)
    bar = f"vfio:{vfio(bench, 'near')}:2"
    for operation, here, there in (("send", "udmabuf", bar), ("write", bar, "heap:system"),
                                   ("read", "heap:system", "udmabuf"), ("write", "udmabuf", "udmabuf")):
        pong.trip(operation, SIZES[1], here, there)
    nothing_is_left(bench)


@test(HCA)
def beside_ibv_rc_pingpong(bench):
    """Memory of another function at one end, ibv_rc_pingpong at the other, which looks at what it gets."""
    pong = Ends(bench)
    memory = ("--memory", f"vfio:{vfio(bench, 'near')}:2")
    with pong.listening([*THEIRS, "-s", "5000", "--chk"], 18515) as server:
        result = pong.client("--size", 5000, *QUICK, "--validate", *memory)
        equal((result.code, objects(result.stdout)[0]["memory"]), (0, "dmabuf"), "the client's end")
        said = server.wait(30)
        equal(said.code, 0, "the exit code of ibv_rc_pingpong")
        check("invalid data" not in said.stdout, "ibv_rc_pingpong found other bytes than its own")
    with pong.serve("--size", 5000, *QUICK, "--validate", *memory) as server:
        said = bench.run(bench.server, [*THEIRS, "-s", "5000", "127.0.0.1"], 60)
        equal(said.code, 0, "the exit code of ibv_rc_pingpong")
        equal(server.wait(30).code, 0, "the exit code of the server")
    nothing_is_left(bench)


@test(HCA_AMD)
def bar_through_the_host_bridge(bench):
    """The same behind an AMD processor's root ports, by an address of the IOMMU."""
    pong = Ends(bench)
    bar = f"vfio:{vfio(bench, 'far')}:2"
    for operation in ("send", "write", "read"):
        pong.trip(operation, SIZES[1], "host", bar)
    nothing_is_left(bench)


@test(HCA)
def memory_that_is_refused(bench):
    """No way between the devices, a device or an importer that refuses, a BAR that is too small: said, and left."""
    pong = Ends(bench)
    near, far = (f"vfio:{vfio(bench, name)}:2" for name in ("near", "far"))

    def refused(*words, patterns):
        pong.refused(pong.run(*QUICK, *words), *patterns)
        nothing_is_left(bench)
    refused("--memory", far, patterns=("meet nowhere below the root complex",))
    refused("--memory", near, "--size", "2M", patterns=("the memory has 2097152 bytes, and two messages need 4194304",
                                                        "smaller --size"))
    refused("--memory", near[:-1] + "5", patterns=("BAR 5",))
    refused("--memory", "heap:none", patterns=("heap",))
    refused("--memory", "fd:0", patterns=("is no dma-buf",))
    refused("--memory", "fd:77", patterns=("77",))
    with contextlib.ExitStack() as stack:
        stack.callback(bench.tidy)
        switch(bench, "import", "pinned")
        refused("--memory", near, patterns=("revoke the memory at any time",))
    with contextlib.ExitStack() as stack:
        stack.callback(bench.tidy)
        switch(bench, "fail_registration", 12)
        refused("--memory", "udmabuf", patterns=("no room for its mapping",))
        refused("--memory", "host", patterns=("memory", "ulimit|less"))


@test(HCA)
def taken_back_in_the_middle(bench):
    """The BAR's function is reset while messages go to and fro: both ends say so, and nothing is left."""
    pong = Ends(bench)
    near = vfio(bench, "near")
    with pong.serve("--device", DEVICE, "-e", "-n", 500, "--memory", f"vfio:{near}:2") as server:
        client = bench.start(bench.server, [str(word) for word in (
            pong.program, "--device", DEVICE, "-e", "-n", 500, "127.0.0.1")])
        client.wait_for("there: queue pair", 60)
        unbind = bench.start(bench.server, f"sleep 2; echo {near} > /sys/bus/pci/drivers/vfio-pci/unbind")
        pong.refused(server.wait(60), "about to lose its memory", "release the region")
        pong.refused(client.wait(60), "(is gone|closed the connection)")
        equal(unbind.wait(30).code, 0, "the exit code of unbinding")
    vfio(bench, "near")
    nothing_is_left(bench)
