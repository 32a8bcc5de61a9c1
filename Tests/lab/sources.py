# SPDX-License-Identifier: Apache-2.0
"""Memory by its specification: every exporter of dma-bufs on real kernels, and what each refuses."""
import re
import shutil
import subprocess
from pathlib import Path

from checks import check, equal, in_order
from registry import BARE, EXPORTERS, Failure, test

READ_BAR = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    print(mmap.mmap(file.fileno(), 8192, mmap.MAP_SHARED, mmap.PROT_READ)[4096:4111].decode())
"""


def error(found, code, *patterns, name="error"):
    """Fail unless an error of this class was thrown, whose sentence says cause and remedy."""
    check(name in found, f"there is no {name!r} among {found}")
    sentence = found[name]
    check(sentence.startswith(code + ": "), f"{name} is not {code}: {sentence}")
    cause, _, remedy = sentence.partition("; ")
    check(len(cause) > 25 and len(remedy) > 10, f"cause or remedy is missing in: {sentence}")
    in_order(sentence, *patterns)


def bound(bench, name, host=None):
    """The address of a function of the layout, given to vfio-pci for the time of the test."""
    host = host or bench.server
    address = host.bdf(name)
    bench.later(lambda: host.run([bench.tool, "vfio", "unbind", address]))
    bench.must(host, [bench.tool, "vfio", "bind", address])
    return address


@test(EXPORTERS)
def udmabuf(bench):
    """Host memory by /dev/udmabuf: bytes go in and out, whatever their place; so do a mapping's."""
    found = bench.probed("open", "udmabuf:1M")
    equal((found["kind"], found["exporter"], found["bytes"]), ("dmabuf", "udmabuf", "1048576"),
          "the buffer")
    equal(found["round trip"], "equal", "the round trip")
    equal(bench.probed("open", "udmabuf:5000")["bytes"], "8192", "a size that is no page")
    found = bench.probed("identity", "udmabuf:64K")
    equal([found[key] for key in ("duplicate", "another", "owner to mapping", "mapping to owner")],
          ["true", "false", "true", "true"], "identity and bytes")


@test(EXPORTERS)
def udmabuf_refusals(bench):
    """Over its limit, over the machine's memory, without rights, without the device."""
    limit = "/sys/module/udmabuf/parameters/size_limit_mb"
    before = bench.must(bench.server, f"cat {limit}; echo 1 > {limit}").strip()
    bench.later(lambda: bench.server.run(f"echo {before} > {limit}"))
    error(bench.probed("open", "udmabuf:2M"), "resourceLimit", "2 MiB.*1 MiB apiece", "EINVAL|22",
          "size_limit_mb")
    error(bench.probed("open", "udmabuf:4G"), "resourceLimit", "4 GiB of host memory", "ask for less")
    error(bench.probed("open", "heap:system:4G"), "resourceLimit", "4 GiB of host memory")
    bench.later(lambda: bench.server.run("mv /dev/away /dev/udmabuf"))
    bench.must(bench.server, "mv /dev/udmabuf /dev/away")
    error(bench.probed("open", "udmabuf:1M"), "notFound", "no /dev/udmabuf", "modprobe udmabuf")


@test(EXPORTERS)
def heap(bench):
    """Host memory by a dma-heap; a heap that there is not is told from those that there are."""
    found = bench.probed("open", "heap:system:1M")
    equal((found["exporter"], found["round trip"]), ("system", "equal"), "the buffer")
    found = bench.probed("identity", "heap:system:64K")
    equal([found[key] for key in ("duplicate", "another", "owner to mapping", "mapping to owner")],
          ["true", "false", "true", "true"], "identity and bytes")
    error(bench.probed("open", "heap:none:1M"), "notFound", "no dma-heap none", "system")


@test(EXPORTERS)
def cuda(bench):
    """The way of a GPU's memory, over a libcuda that stands in for NVIDIA's; without it, what to do."""
    error(bench.probed("open", "cuda:0:2M"), "notFound", "NVIDIA's driver library cannot be opened",
          "install NVIDIA's driver")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise Failure("no C compiler is here to build the fake with")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", bench.scratch / "libcuda.so.1",
                    Path(__file__).with_name("fake_cuda.c")], check=True)
    env = {"LD_LIBRARY_PATH": bench.scratch}
    found = bench.probed("open", "cuda:0:3M", env=env)
    equal([found[key] for key in ("kind", "exporter", "bytes", "provider", "round trip")],
          ["dmabuf", "udmabuf", str(4 << 20), "0000:3b:00.0", "equal"], "the buffer")
    found = bench.probed("identity", "cuda:0:2M", env=env)
    equal([found[key] for key in ("duplicate", "owner to mapping", "mapping to owner")],
          ["true", "true", "true"], "identity and bytes")
    error(bench.probed("open", "cuda:1:2M", env=env), "notFound", "no GPU 1: CUDA sees 1")
    error(bench.probed("open", "cuda:0:2M", env={**env, "FAKE_CUDA_ATTRIBUTE": "0"}), "notSupported",
          "exports no dma-bufs", "open kernel modules")


@test(EXPORTERS)
def user_without_rights(bench):
    """A user who is not root is told what to be given."""
    address = bound(bench, "shared")
    for words, sentence in ((["open", "udmabuf:1M"], "may not open /dev/udmabuf"),
                            (["open", "heap:system:1M"], "may not open /dev/dma_heap/system"),
                            (["open", f"vfio:{address}:2"], "may not open /dev/vfio/")):
        line = " ".join(words)
        result = bench.run(bench.server, f"setpriv --reuid 65534 --clear-groups {bench.probe} {line}")
        found = dict(re.findall(r"^(.+?): (.*)$", result.stdout, re.MULTILINE))
        error(found, "notPermitted", sentence, "run as root")


@test(EXPORTERS)
def descriptors(bench):
    """Descriptor 0 is one like any other; what is no dma-buf, closed or beyond the end is refused."""
    found = bench.probed("zero", "udmabuf:1M")
    equal((found["adopted"], found["same bytes"], found["written back"], found["same identity"]),
          ("0 udmabuf 1048576", "true", "true", "true"), "the buffer at descriptor 0")
    equal((found["open after the duplicate"], found["open after the adopted"]), ("true", "false"),
          "whether descriptor 0 is open: duplicating leaves it, adopting closes it")
    found = bench.probed("refusals", "udmabuf:1M")
    for name, sentence in (("pipe", r"no dma-buf but pipe:\["), ("file", "no dma-buf but /"),
                           ("closed", "is not open .*errno 9"), ("negative", "-1 is not open"),
                           ("length 0", "0 bytes"), ("length 2^63", "9223372036854775808 bytes"),
                           ("offset 2^63", "at offset 9223372036854775808"),
                           ("overflow", "at offset 18446744073709551615"),
                           ("one byte over", "1048577 bytes at offset 0 are not inside"),
                           ("at the end", "1 bytes at offset 1048576"), ("one byte late", "at offset 1 "),
                           ("owner past the end", "1 bytes at offset 1048576"),
                           ("owner at 2^63 - 1", "at offset 9223372036854775807")):
        error(found, "invalidArgument", sentence, name=name)
    equal((found["still open"], found["usable"]), ("true", "equal"), "what was refused, afterwards")


@test(EXPORTERS)
def vfio(bench):
    """A BAR of vfio-pci: exported, written and read by its owner, seen by another way to the BAR."""
    address = bound(bench, "shared")
    found = bench.probed("open", f"vfio:{address}:2")
    equal((found["exporter"], found["provider"], found["bytes"], found["round trip"]),
          ("vfio_pci_core", address, str(1 << 20), "equal"), "the buffer")
    found = bench.probed("open", f"vfio:{address}:2:5000:9000")
    equal((found["offset"], found["bytes"], found["whole"], found["round trip"]),
          ("904", "9000", "12288", "equal"), "a part that is not of pages")
    found = bench.probed("vfio-ranges", address, "2")
    equal([found[key] for key in ("size", "order", "first half", "second half")],
          ["4", "true", "true", "true"], "a buffer of several parts")
    found = bench.probed("vfio-owner", address, "2")
    equal((found["exports"], found["size"], found["writable"]), ("true", str(1 << 20), "false"),
          "what the device says")
    error(found, "notSupported", "vfio_pci_core does not let the CPU map", name="mapping")
    error(found, "notPermitted", "open for reading only", name="writing")
    script = bench.file("read_bar.py", READ_BAR.encode())
    seen = bench.must(bench.server,
                      ["python3", script, f"/sys/bus/pci/devices/{address}/resource2"])
    equal(seen.strip(), "peermr was here", "the bytes of the BAR, read from outside")


@test(EXPORTERS)
def vfio_lifetime(bench):
    """The memory keeps the device open, through a reset too; the next one can have it at once."""
    address = bound(bench, "shared")
    found = bench.probed("vfio-reset", address, "2")
    equal(found["after the reset"], "true", "whether the bytes are there after a reset")
    error(found, "busy", "open already", name="second")
    found = bench.probed("vfio-busy", address)
    error(found, "busy", "/dev/vfio/[0-9]+.*open already", "errno 16", "fuser", name="second")
    equal(found["after it"], "open", "the device after the first has closed it")
    equal(bench.probed("again", f"vfio:{address}:2", "30")["opened"], "30", "times")
    equal(bench.probed("again", "udmabuf:1M", "30")["opened"], "30", "times")
    equal(bench.probed("again", "heap:system:1M", "30")["opened"], "30", "times")
    holder = bench.start(bench.server, [bench.probe, "vfio-hold", address, "60"])
    holder.wait_for("holding", 60)
    error(bench.probed("open", f"vfio:{address}:2"), "busy", "open already", "fuser")
    refused = bench.run(bench.server, [bench.tool, "vfio", "unbind", address])
    equal(refused.code, 2, "the exit code of unbinding a function that is open")
    in_order(refused.stderr, "open already", "fuser")
    buffers = "cat /sys/kernel/debug/dma_buf/bufinfo | tail -1"
    bench.must(bench.server, "mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug")
    in_order(bench.must(bench.server, buffers), "Total 0 objects, 0 bytes")


@test(EXPORTERS)
def vfio_refusals(bench):
    """Wrong BARs, BARs of ports, parts that are outside or not of pages."""
    address = bound(bench, "shared")
    found = bench.probed("vfio-refusals", address)
    for name in ("BAR -1", "BAR 6"):
        error(found, "invalidArgument", "has no BAR", "0, 2", name=name)
    for name in ("BAR 1", "BAR 5"):
        error(found, "notFound", "has no BAR", "0, 2", name=name)
    error(found, "notSupported", "256 bytes, less than a page", name="small BAR")
    for name in ("length 0", "length 2^63", "offset 2^63", "overflow", "past the end", "over the end"):
        error(found, "invalidArgument", "BAR 2 of", name=name)
    for name in ("offset 512", "length 512"):
        error(found, "invalidArgument", "not whole pages", "multiples of 4096", name=name)
    equal(found["inside pages"], "904 100 4096", "a part inside a page")
    ports = bound(bench, "ports")
    error(bench.probed("open", f"vfio:{ports}:1"), "invalidArgument", "BAR 1 .* is I/O ports",
          "lspci")


@test(EXPORTERS)
def not_bound(bench):
    """A function that its own driver has, or none, or that there is not: how to bind it."""
    for name, has in (("disk", "the driver nvme has"), ("shared", "no driver has")):
        address = bench.server.bdf(name)
        error(bench.probed("open", f"vfio:{address}:0"), "busy", f"{has} {address}, not vfio-pci",
              f"peermr vfio bind {address}", "driver_override", "drivers_probe")
    error(bench.probed("open", "vfio:0000:77:00.0:0"), "notFound", "no PCI function 0000:77:00.0",
          "lspci")


@test(EXPORTERS)
def shared_group(bench):
    """A group with a function that another driver has cannot be opened; without that it can."""
    address, other = bound(bench, "both"), bench.server.bdf("busy")
    error(bench.probed("open", f"vfio:{address}:2"), "busy", f"cannot be used.*{other} \\(nvme\\)",
          "access control")
    status = bench.must(bench.server, [bench.tool, "vfio", "status", address])
    in_order(status, f"{other}: nvme, which keeps the group from being opened")
    bound(bench, "busy")
    equal(bench.probed("open", f"vfio:{address}:2")["round trip"], "equal", "the round trip")


@test(EXPORTERS)
def older_kernel(bench):
    """Before Linux 6.19 vfio-pci exports nothing: told so, with what to use."""
    address = bound(bench, "shared", bench.client)
    error(bench.probed("open", f"vfio:{address}:2", host=bench.client), "notSupported",
          "does not export BARs", "errno 25", "Linux 6.19")


@test(BARE)
def without_iommu(bench):
    """Without an IOMMU vfio-pci cannot have a function: told so before anything is changed."""
    address = bench.server.bdf("nvme0")
    error(bench.probed("open", f"vfio:{address}:0"), "notFound", "no IOMMU group", "intel_iommu=on")
    refused = bench.run(bench.server, [bench.tool, "vfio", "bind", address])
    equal(refused.code, 2, "the exit code of binding without an IOMMU")
    in_order(refused.stderr, "no IOMMU group", "intel_iommu=on")
    driver = bench.must(bench.server, f"readlink /sys/bus/pci/devices/{address}/driver")
    check(driver.strip().endswith("/nvme"), f"the drive's driver is {driver} after the refusal")


@test(EXPORTERS)
def binding(bench):
    """A drive goes to vfio-pci and back; one that is in use stays where it is."""
    address = bench.server.bdf("disk")
    node = bench.must(bench.server, f"ls /sys/bus/pci/devices/{address}/nvme").strip() + "n1"
    bind, unbind = ([bench.tool, "vfio", verb, address] for verb in ("bind", "unbind"))
    in_order(bench.must(bench.server, bind), "vfio-pci has it; nvme had it before")
    in_order(bench.must(bench.server, bind), "vfio-pci has it already")
    bench.must(bench.server, f"test ! -e /dev/{node}")
    in_order(bench.must(bench.server, unbind), "nvme has it again")
    # The number of the controller is another one now.
    disks = f"ls /sys/bus/pci/devices/{address}/nvme"
    bench.settles(lambda: bench.run(bench.server, f"test -b /dev/$({disks})n1").code, 0, "the disk")
    node = bench.must(bench.server, disks).strip() + "n1"
    refused = bench.run(bench.server, unbind)
    equal(refused.code, 2, "the exit code of unbinding what nvme has")
    in_order(refused.stderr, f"the driver nvme has {address}, not vfio-pci")
    uses = {f"mkfs.ext4 -q /dev/{node} && mount /dev/{node} /mnt": ("umount /mnt", "is mounted on /mnt"),
            f"mkswap -q /dev/{node} && swapon /dev/{node}": (f"swapoff /dev/{node}", "is swapped to"),
            f"modprobe dm_mod && dmsetup create over --table '0 8192 linear /dev/{node} 0'":
                ("dmsetup remove over", "is part of dm-0")}
    for use, (end, sentence) in uses.items():
        if "dmsetup" in use and bench.run(bench.server, "command -v dmsetup").code != 0:
            continue
        bench.later(lambda end=end: bench.server.run(end))
        bench.must(bench.server, use)
        refused = bench.run(bench.server, bind)
        equal(refused.code, 2, f"the exit code of binding a drive that {sentence}")
        in_order(refused.stderr, f"{address} is in use: {node} {sentence}", "end that first")
        bench.must(bench.server, end)
    bench.must(bench.server, f"test -b /dev/{node}")
