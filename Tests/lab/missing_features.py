# SPDX-License-Identifier: Apache-2.0
"""Machines that lack something: RDMA, a device, a CMB, on-demand paging, a newer kernel."""
import shutil
import subprocess
from pathlib import Path

from checks import check, equal, noise, refused, same_bytes
from registry import BARE, PAIR, STABLE, Failure, test
from roundtrip import check_outcome, round_trip

MIB = 1 << 20


def rdma(bench, device):
    """Give the bare host an RDMA device, or take device and modules away, whatever was before."""
    bench.must(bench.server, "rdma link del rxe0 2>/dev/null; ip link del eth0 2>/dev/null; "
               "modprobe -r rdma_ucm 2>/dev/null; modprobe -r rdma_rxe ib_uverbs 2>/dev/null; "
               "test ! -e /sys/class/misc/rdma_cm")
    if device:
        bench.must(bench.server, "modprobe -a rdma_rxe rdma_ucm ib_uverbs && "
                   "ip link add eth0 type veth peer name eth1 && "
                   "ip link set eth1 mtu 4200 up && ip link set eth0 mtu 4200 up && "
                   f"ip addr add {bench.server.address}/24 dev eth0 && "
                   "rdma link add rxe0 type rxe netdev eth0")
        gids = "cat /sys/class/infiniband/rxe0/ports/1/gids/* 2>/dev/null; true"
        bench.settles(lambda: ":ffff:" in bench.must(bench.server, gids), True,
                      "whether rxe0 has an address")


@test(BARE)
def no_rdma_modules(bench):
    """Where the kernel's RDMA modules cannot be loaded, server and clients name them."""
    rdma(bench, device=False)
    bench.must(bench.server, "mount -t tmpfs none /lib/modules")
    bench.later(lambda: bench.server.run("umount /lib/modules"))
    path = bench.file("sent", noise(5000, 501))
    words = ("no RDMA connection manager", "modprobe rdma_ucm.*rdma link add")
    refused(bench.refused_server("--memory", "host"), *words)
    refused(bench.put(path), *words)
    refused(bench.get(bench.scratch / "none", 512), *words)


@test(BARE)
def no_rdma_device(bench):
    """Without an RDMA device server and client say how to get one."""
    rdma(bench, device=False)
    path = bench.file("sent", noise(5000, 511))
    words = ("this machine has no RDMA device", "NIC's driver.*rdma link add rxe0 type rxe netdev")
    refused(bench.refused_server("--memory", "host"), *words)
    refused(bench.put(path), *words)


@test(BARE)
def drive_without_cmb(bench):
    """A drive without a CMB is refused with what would do; host memory and --allow-bounce work."""
    rdma(bench, device=True)
    refused(bench.refused_server(), "0000:01:00.0 publishes no p2pmem",
            "controller memory buffer.*CONFIG_PCI_P2PDMA", "host memory")
    with bench.serve("--allow-bounce") as server:
        server.waits_for("bouncing through host memory: 0000:01:00.0 publishes no p2pmem")
        round_trip(bench, server, MIB + 5, way="bytesBounced")
    with bench.serve("--memory", "host") as server:
        round_trip(bench, server, MIB + 5, way="bytesHost")


@test(STABLE)
def old_kernel(bench):
    """A kernel that publishes no p2pmem: told so; --allow-bounce says why, host memory works."""
    refused(bench.refused_server(), "0000:01:00.0 publishes no p2pmem", "CONFIG_PCI_P2PDMA")
    with bench.serve("--memory", "host") as server:
        round_trip(bench, server, 2 * MIB + 3, way="bytesHost")
    data = noise(5000, 521)
    with bench.serve("--allow-bounce") as server:
        server.waits_for("bouncing through host memory: 0000:01:00.0 publishes no p2pmem")
        sent = bench.put(bench.file("bounced", data))
        equal(sent.code, 0, "the exit code of put")
        check_outcome(sent, "put", data, "bytesBounced", verified=True)
        equal(server.transfers(2)[0]["bytesBounced"], 5000, "the bounced bytes")
        same_bytes(bench.drive(0, 5000), data, "the file on the drive")


def fakes(bench, **facts):
    """The environment that makes a program believe in other facts than this machine's."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise Failure("no C compiler is here to build the fakes with")
    library = bench.scratch / "fake_facts.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library,
                    Path(__file__).with_name("fake_facts.c")], check=True)
    return {"LD_PRELOAD": library, **facts}


# A kernel without type information, for the command that follows.
_WITHOUT_TYPES = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh"]


@test(PAIR)
def kernel_that_does_not_check(bench):
    """Before Linux 6.16 p2pmem is mapped without a check: refused for a device that is no PCI function.

    The release is faked, and the type information hidden, which would contradict it.
    """
    for release in ("6.12.48+deb13-amd64", "6.15.9"):
        refused(bench.run(bench.server, [*_WITHOUT_TYPES, *bench.serving()], 30,
                          env=fakes(bench, FAKE_RELEASE=release)),
                "Linux " + release.rsplit(".", 1)[0], "without checking", "no PCI function is known",
                "Linux 6.16 or newer")
    free = bench.free_p2pmem()
    bounce = bench.start(bench.server, [*_WITHOUT_TYPES, *bench.serving("--allow-bounce")],
                         fakes(bench, FAKE_RELEASE="6.12.0"))
    bounce.wait_for("bouncing through host memory: Linux 6.12", 60)
    equal(bench.free_p2pmem(), free, "the free p2pmem beside a server that bounces")


@test(PAIR)
def kernel_whose_number_lies(bench):
    """An old number is not believed where the kernel's type information shows that it checks."""
    memory = f"p2pmem:{bench.server.bdf('nvme0')}:64K"
    result = bench.run(bench.server, [bench.tool, "register", "--device", "rxe0", "--memory", memory, "--prove"],
                       env=fakes(bench, FAKE_RELEASE="5.14.0-503.11.1.el9_5.x86_64"))
    equal(result.code, 0, "the exit code of register")
    check("onDemand" in result.stdout and "without a check" not in result.stdout, f"it said {result.stdout!r}")


@test(PAIR)
def device_without_paging(bench):
    """A device without on-demand paging (faked): refused with the reason and ways out."""
    free = bench.free_p2pmem()
    refused(bench.refused_server(env=fakes(bench, FAKE_NO_ODP="1")),
            "p2pmem cannot be registered: rxe0 has no on-demand paging", "does not pin",
            "ibv_reg_mr", "Linux 6.16 or newer.*host memory")
    equal(bench.free_p2pmem(), free, "the free p2pmem after the refusal")
