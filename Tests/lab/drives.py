# SPDX-License-Identifier: Apache-2.0
"""The server does not take a drive that holds something, or what is no drive at all."""
from checks import equal, noise, refused, same_bytes
from registry import PAIR, test

MIB = 1 << 20
DRIVE = "/dev/nvme0n1"


def serving(bench, path, *options):
    """A server's command for another drive."""
    words = bench.serving(*options)
    words[words.index("--nvme") + 1] = path
    return words


@test(PAIR)
def no_drive(bench):
    """A path that does not exist, a file, a directory, a character device."""
    bench.must(bench.server, "echo text > /root/file")
    for path, words in (("/dev/nvme7n1", "no drive at /dev/nvme7n1.*lsblk"),
                        ("/root/file", "/root/file is no block device.*name a drive"),
                        ("/root", "/root is no block device"),
                        ("/dev/null", "/dev/null is no block device"),
                        ("/dev/nvme0", "/dev/nvme0 is no block device")):
        refused(bench.run(bench.server, serving(bench, path)), words)
    equal(bench.must(bench.server, "cat /root/file"), "text\n", "the file that is no drive")


@test(PAIR)
def drive_without_pci(bench):
    """A loop device has no p2pmem: refused with three ways out; host memory works on it."""
    bench.must(bench.server, "modprobe loop && truncate -s 8M /tmp/image"
               " && losetup /dev/loop0 /tmp/image")
    bench.later(lambda: bench.server.run("losetup -d /dev/loop0", check=True))
    refused(bench.run(bench.server, serving(bench, "/dev/loop0")),
            "/dev/loop0 is on no PCI function",
            "controller memory buffer.*--provider.*--memory host")
    data = noise(MIB + 3, 201)
    server = bench.start(bench.server, serving(bench, "/dev/loop0", "--memory", "host"))
    server.wait_for("serving /dev/loop0, bytes 0 to 8388608", 60)
    equal(bench.put(bench.file("loop", data)).code, 0, "the exit code of put to a loop device")
    server.signal("INT")
    equal(server.wait(20).code, 0, "the exit code of the server")


@test(PAIR)
def other_provider(bench):
    """--provider with a function that is not there, or has no p2pmem."""
    refused(bench.refused_server("--provider", "0000:99:00.0"), "no PCI function 0000:99:00.0",
            "lspci")
    refused(bench.refused_server("--provider", "0000:00:00.0"), "0000:00:00.0 publishes no p2pmem",
            "controller memory buffer")
    with bench.serve("--provider", bench.server.bdf("nvme0")):
        path = bench.file("provider", noise(5000, 211))
        equal(bench.put(path).code, 0, "the exit code of put with the drive named as provider")


def prepared(bench, command):
    """Put something on the drive from inside, and take it away again after the test."""
    bench.later(bench.bare_drive)
    bench.later(lambda: bench.server.run(f"umount /mnt; blockdev --flushbufs {DRIVE}"))
    bench.must(bench.server, command)


def first_bytes(bench):
    """The part of the drive where tables and superblocks stand."""
    return bench.drive(0, MIB)


@test(PAIR)
def mounted(bench):
    """A mounted drive is refused; unmounted it still holds a file system, and is refused too."""
    prepared(bench, f"mkfs.ext4 -q {DRIVE} && mount {DRIVE} /mnt"
             " && echo precious > /mnt/file && sync")
    refused(bench.refused_server(), "/dev/nvme0n1 is in use: it is mounted",
            "unmount it.*--overwrite")
    equal(bench.must(bench.server, "cat /mnt/file"), "precious\n", "the file on the mounted drive")
    bench.must(bench.server, "umount /mnt")
    before = first_bytes(bench)
    refused(bench.refused_server(), "/dev/nvme0n1 holds data of type ext4",
            "empty drive.*--overwrite")
    same_bytes(first_bytes(bench), before, "the drive after the refusal")
    bench.must(bench.server, f"mount -o ro {DRIVE} /mnt")
    equal(bench.must(bench.server, "cat /mnt/file"), "precious\n", "the file after the refusals")


@test(PAIR)
def partitioned(bench):
    """A drive with a partition table is refused; one with a mounted partition is in use."""
    for table in ("gpt", "msdos"):
        prepared(bench, f"parted -s {DRIVE} mklabel {table} mkpart primary 1MiB 100%")
        before = first_bytes(bench)
        kind = {"gpt": "gpt", "msdos": "dos"}[table]
        refused(bench.refused_server(), rf"holds a partition table \({kind}\)", "--overwrite")
        same_bytes(first_bytes(bench), before, f"the drive with a {table} table after the refusal")
    bench.must(bench.server, f"mkfs.ext4 -q {DRIVE}p1 && mount {DRIVE}p1 /mnt && sync")
    refused(bench.refused_server(), "/dev/nvme0n1 is in use", "--overwrite")


@test(PAIR)
def swap(bench):
    """Any signature that libblkid knows counts: swap, as an example."""
    prepared(bench, f"mkswap -q {DRIVE} && sync")
    refused(bench.refused_server(), "holds data of type swap", "--overwrite")


@test(PAIR)
def overwrite(bench):
    """With --overwrite a drive with a file system is served, and the file stands on it."""
    prepared(bench, f"mkfs.ext4 -q {DRIVE} && sync")
    data = noise(2 * MIB + 9, 221)
    with bench.serve("--overwrite"):
        equal(bench.put(bench.file("over", data)).code, 0, "the exit code of put")
        same_bytes(bench.drive(0, len(data)), data, "the file on the drive")
