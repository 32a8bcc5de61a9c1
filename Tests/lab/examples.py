# SPDX-License-Identifier: Apache-2.0
"""The examples of one file: each run as its first lines say, and its data checked."""
from checks import check, equal, in_order, noise, objects, same_bytes
from hcatool import DEVICE, counter, nothing_is_left, vfio
from registry import HCA, LOOP, test

MIB = 1 << 20


def run(bench, name, *words, code=0):
    """Run an example to its end; what it printed."""
    result = bench.run(bench.server, [bench.programs / name, *map(str, words)], 120)
    equal(result.code, code, f"the exit code of {name}")
    return result.stdout if code == 0 else result.stderr


@test(LOOP)
def example_register_p2pmem(bench):
    """The CMB is registered on demand, seen by the processor and proven by the NIC; another function is refused."""
    bdf = bench.server.bdf("nvme0")
    in_order(run(bench, "register-p2pmem", "rxe0", bdf, "--size", 65536), f"65536 bytes of p2pmem of {bdf}",
             "method: onDemand", "path MTU of 4096", "4096 bytes read back", "proof: ", r"registered in \d+ µs")
    in_order(run(bench, "register-p2pmem", "rxe0", "0000:00:00.0", code=1), "publishes no p2pmem",
             "controller memory buffer")
    in_order(run(bench, "register-p2pmem", "rxe7", bdf, code=1), "no RDMA device rxe7", "rxe0")


@test(HCA)
def example_register_dmabuf(bench):
    """A BAR and memory of udmabuf: the NIC reads what their owner wrote."""
    near = vfio(bench, "near")
    for memory, exporter in ((f"vfio:{near}:2:0:4096", "vfio_pci_core"), ("udmabuf:4K", "udmabuf")):
        in_order(run(bench, "register-dmabuf", DEVICE, memory), f"4096 bytes, exported by {exporter}",
                 "method: dmaBuf", "4096 bytes, all as their owner wrote them", r"registered in \d+ µs")
        nothing_is_left(bench)
    in_order(run(bench, "register-dmabuf", DEVICE, "host:4K", code=64), "is no dma-buf")


@test(LOOP)
def example_peer_pingpong(bench):
    """Two processes, each with a part of the CMB, and one with memory of the host: every message comes back."""
    memory = f"p2pmem:{bench.server.bdf('nvme0')}:8K"
    for there, kind in ((memory, "p2pmem"), ("host:8K", "host")):
        server = bench.start(bench.server, [bench.programs / "peer-pingpong", memory,
                                            "--listen", bench.server.address])
        server.wait_for("listening on", 60)
        in_order(run(bench, "peer-pingpong", there, "--connect", bench.server.address, "--count", 20),
                 f"memory: {kind}", "data: 20 messages of 4096 bytes, all as sent", "round trip: ")
        result = server.wait(30)
        equal(result.code, 0, "the exit code of the server")
        in_order(result.stdout, "memory: p2pmem", "20 messages of 4096 bytes came")
    in_order(run(bench, "peer-pingpong", memory, "--connect", bench.server.address, code=1),
             "nothing listens there", "start the server")


@test(LOOP)
def example_nic_to_drive(bench):
    """Bytes go by RDMA into the CMB, by the drive into its blocks; the image has them."""
    bench.bare_drive()
    bench.later(bench.bare_drive)
    in_order(run(bench, "nic-to-drive", "rxe0", "/dev/nvme0n1"), "slot: 65536 bytes of p2pmem",
             "NIC: RDMA WRITE", "drive: its memory written", "65536 bytes on the drive, all as sent")
    same_bytes(bench.drive(0, 65536), bytes((i * 31 ^ i >> 8) & 255 for i in range(65536)), "the drive")
    bench.must(bench.server, "mkfs.ext4 -q /dev/nvme0n1 && sync")
    in_order(run(bench, "nic-to-drive", "rxe0", "/dev/nvme0n1", code=1), "holds data of type ext4")


@test(LOOP)
def example_file_to_drive(bench):
    """A file goes through one slot of the CMB into the drive and back; Soft-RoCE moves whole pages only."""
    bench.bare_drive()
    bench.later(bench.bare_drive)
    data = noise(20_001, 18)
    sent, copy = bench.file("sent", data), bench.scratch / "copy"
    said = run(bench, "file-to-drive", "rxe0", "/dev/nvme0n1", sent, "--offset", MIB, "--output", copy, "--json")
    (report,) = objects(said)
    equal((report["bytes"], report["nic"], report["method"], report["put"]["bytesPeerToPeer"],
           report["get"]["bytesPeerToPeer"]), (len(data), "software", "onDemand", len(data), len(data)), "the outcome")
    same_bytes(copy.read_bytes(), data, "what came back")
    same_bytes(bench.drive(MIB, len(data)), data, "the drive")
    for words, phrase in ((("/dev/nvme0n1", "/dev/null"), "is empty"), (("/dev/none", sent), "there is no drive at"),
                          (("/dev/nvme0n1", sent, "--offset", 100), "whole blocks"),
                          (("/dev/nvme0n1", "/nowhere"), "No such file")):
        in_order(run(bench, "file-to-drive", "rxe0", *words, code=1), phrase)


@test(HCA)
def example_register_p2pmem_by_dma(bench):
    """A drive's memory below the same switch is proven by the device's DMA engine; that of a far drive is refused."""
    near, far = (bench.server.bdf(name) for name in ("near-drive", "far-drive"))
    in_order(run(bench, "register-p2pmem", DEVICE, near, "--size", 8192), f"8192 bytes of p2pmem of {near}",
             "method: onDemand", "4096 bytes read back", "proof: ", r"registered in \d+ µs")
    in_order(run(bench, "register-p2pmem", DEVICE, far, code=1), f"refuses DMA between {DEVICE} and {far}",
             "meet nowhere below the root complex")
    nothing_is_left(bench)


@test(HCA)
def example_file_to_drive_by_dma(bench):
    """The same by the DMA engine of a device without a connection manager."""
    bdf = bench.server.bdf("near-drive")
    block = bench.must(bench.server, f"basename /sys/bus/pci/devices/{bdf}/nvme/nvme*/nvme*n1").strip()
    data = noise(5001, 19)
    sent, copy, before = bench.file("sent", data), bench.scratch / "copy", counter(bench, "bytes_moved")
    said = run(bench, "file-to-drive", DEVICE, f"/dev/{block}", sent, "--offset", 2 * MIB, "--output", copy, "--json")
    (report,) = objects(said)
    equal((report["bytes"], report["nic"], report["method"], report["put"]["bytesPeerToPeer"]),
          (len(data), "device", "onDemand", len(data)), "the outcome")
    check(counter(bench, "bytes_moved") - before >= 2 * len(data), "the HCA has moved too few bytes")
    same_bytes(copy.read_bytes(), data, "what came back")
    image = bench.server.drives["near-drive"].read_bytes()
    same_bytes(image[2 * MIB:][:len(data)], data, "the drive")
    nothing_is_left(bench)
