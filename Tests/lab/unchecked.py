# SPDX-License-Identifier: Apache-2.0
"""Linux 6.12 with pools of p2pmem, which the lab builds: what drives may do with them, and what PeerMR says of it."""
import re

from checks import check, equal, in_order, noise, refused, same_bytes
from hcatool import held, says
from registry import TOOL, UNCHECKED, test
from roundtrip import check_outcome
import labhca_odp

EREMOTEIO, EINVAL = "121", "22"


def named(bench, *names):
    """Hosts of the setting."""
    return [host for host in bench.hosts if host.name in names]


def block_device(bench, host, name):
    """The block device of a drive of the layout."""
    listed = f"ls /sys/bus/pci/devices/{host.bdf(name)}/nvme/*"
    return "/dev/" + re.sub(r"c\d+n", "n", re.search(r"\bnvme\d+(c\d+)?n\d+\b", bench.must(host, listed))[0])


def moved(bench, host, provider, drive):
    """What memory-probe found when a page of a provider's went to a drive and back."""
    return bench.probed("drive", f"p2pmem:{host.bdf(provider)}:4K", drive, host=host)


def allowed(bench, host, provider, client):
    """Fail unless a page moves both ways, by either kind of queue, and the bytes are right."""
    found = moved(bench, host, provider, block_device(bench, host, client))
    for queue in ("block", "passthrough"):
        for what, wanted in (("write", "ok"), ("read", "ok"), ("data", "true")):
            equal(found.get(f"{queue} {what}"), wanted, f"{queue} {what} of {client} on memory of {provider}")


def forbidden(bench, host, provider, client, errno):
    """Fail unless the kernel refuses, and the library says whose fault it is and what helps."""
    drive = block_device(bench, host, client)
    found = moved(bench, host, provider, drive)
    for queue in ("block", "passthrough"):
        for verb in ("write", "read"):
            equal(found.get(f"{queue} {verb} errno"), errno, f"errno of {queue} {verb} of {client} on {provider}")
            in_order(found[f"{queue} {verb}"], "notSupported: ", f"errno {errno}", "under one PCIe switch")
            check(f"the drive {drive[5:]} may not {verb} that peer memory" in found[f"{queue} {verb}"], "the reason")
        equal(found[f"{queue} data"], "false", "what was never moved is not there")
    check("cannot be used for peer-to-peer DMA" in host.dmesg(), "the kernel's own word on it, which the remedy names")


@test(UNCHECKED)
def drives_behind_one_switch(bench):
    """O_DIRECT and NVMe commands on the memory of a drive behind the same switch, or its own: the data is right."""
    for host in named(bench, "intel", "amd"):
        for client in ("near", "mate"):
            allowed(bench, host, "near", client)


@test(UNCHECKED)
def drives_of_a_refused_pair(bench):
    """Behind two root ports of an Intel processor this kernel refuses with EREMOTEIO, which PeerMR explains."""
    for host in named(bench, "intel", "intel-translated"):
        forbidden(bench, host, "near", "far", EREMOTEIO)
        forbidden(bench, host, "far", "mate", EREMOTEIO)


@test(UNCHECKED)
def drives_through_a_host_bridge(bench):
    """Through the host bridge of an AMD processor the same pair may."""
    for host in named(bench, "amd", "amd-translated"):
        allowed(bench, host, "near", "far")
        allowed(bench, host, "far", "mate")


@test(TOOL)
def drives_of_a_refused_pair_since_6_17(bench):
    """Newer kernels refuse the same pair with EINVAL: the same sentence."""
    forbidden(bench, bench.server, "near", "far", EINVAL)
    allowed(bench, bench.server, "near", "mate")


def without_peers(bench, host):
    """A loop device takes no peer memory on any kernel: EREMOTEIO, with a remedy of its own."""
    bench.must(host, "modprobe loop && truncate -s 8M /tmp/image && losetup /dev/loop0 /tmp/image")
    bench.later(lambda: host.run("losetup -d /dev/loop0", check=True))
    result = bench.run(host, [bench.probe, "drive", f"p2pmem:{host.bdf('near')}:4K", "/dev/loop0"])
    in_order(result.stdout, rf"block write errno: {EREMOTEIO}\n", "block write: notSupported: ",
             "the drive loop0 takes no peer memory", "NVMe drive on the PCI bus")


@test(UNCHECKED)
def drive_that_takes_none(bench):
    """A loop device refuses peer memory with the same errno as a refused pair, and PeerMR tells the two apart."""
    without_peers(bench, bench.server)


@test(TOOL)
def drive_that_takes_none_since_6_17(bench):
    """There EREMOTEIO has that cause alone."""
    without_peers(bench, bench.server)


def on(bench, name):
    """Have what looks at the server look at another host, until the test has ended."""
    before = bench.server
    bench.later(lambda: setattr(bench, "server", before))
    bench.server, = named(bench, name)


def engine_moves(bench, name, provider):
    """Register p2pmem and have the HCA write and read it: whether the engine's address is one of the drive's."""
    on(bench, name)
    before = held(bench)
    bdf, bar = labhca_odp.drive(bench, provider)
    says(bench, labhca_odp.RIGHT, *labhca_odp.prepare(bdf), *labhca_odp.BOTH_WAYS)
    route, address, pages = labhca_odp.seen(bench, *labhca_odp.prepare(bdf))
    equal((route, pages), ("unchecked", labhca_odp.SIZE // 4096), "the route and the pages at registration")
    bench.settles(lambda: held(bench), before, "what is registered and held")
    return address in bar


@test(UNCHECKED)
def mapped_without_a_check(bench):
    """The driver maps any pair by the processor's physical address; QEMU delivers what a real machine would not."""
    for name in ("intel", "amd"):
        for provider in ("near", "far"):
            check(engine_moves(bench, name, provider), f"{provider} of {name} is not at its physical address")
    for host in bench.hosts:
        check(not re.search(r"labhca.*cannot be used for peer-to-peer DMA", host.dmesg()), "the kernel was asked")


@test(UNCHECKED)
def mapped_by_the_iommu(bench):
    """Where an IOMMU translates, any pair has an address of it, and meets at the host bridge: also below a switch."""
    for name in ("intel-translated", "amd-translated"):
        for provider in ("near", "far"):
            check(not engine_moves(bench, name, provider), f"{provider} of {name} is at its physical address")


@test(UNCHECKED)
def judged_without_type_information(bench):
    """This kernel has no BTF and no configuration file: PeerMR finds its symbols, and judges the pairs rightly."""
    for host, far in zip(bench.hosts, (1, 1, 0, 0)):
        bench.must(host, "test ! -e /sys/kernel/btf/vmlinux -a ! -e /boot/config-$(uname -r)")
        for client, code in (("mate", 0), ("far", far)):
            result = bench.run(host, [bench.tool, "check", host.bdf("near"), host.bdf(client)])
            equal(result.code, code, f"the exit code of check for {client} on {host.name}\n{result.stdout}")


@test(UNCHECKED)
def served_by_bouncing(bench):
    """Soft-RoCE pages on demand since 6.15: nic-to-nvme refuses p2pmem here, and with --allow-bounce says why."""
    data = noise(70_000, 801)
    drive = block_device(bench, bench.server, "near")
    words = bench.serving("--provider", bench.server.bdf("near"))
    words[words.index("--nvme") + 1] = drive
    refused(bench.run(bench.server, words, 30), "p2pmem cannot be registered: rxe0 has no on-demand paging")
    server = bench.start(bench.server, [*words, "--allow-bounce"])
    server.wait_for("bouncing through host memory: .*on-demand paging", 60)
    sent = bench.put(bench.file("sent", data))
    equal(sent.code, 0, "the exit code of put")
    check_outcome(sent, "put", data, "bytesBounced", verified=True)
    with open(bench.server.drives["near"], "rb") as image:
        same_bytes(image.read(len(data)), data, "the file on the drive")
