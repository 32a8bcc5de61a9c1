# SPDX-License-Identifier: Apache-2.0
"""The demo by true DMA: one virtual host, whose RDMA device is the lab HCA, and a drive below the same switch."""
import re

from peerlab import HostSpec, Lab
from peerlab import build
from peerlab.mounts import CHECKOUT
from report import DemoError, assemble, digest, last_json
from virtual import GUEST_FILE, MARGIN, finish, hand_over, image_file, say

PROGRAM = "file-to-drive"
DEVICE = "labhca0"
MOST_BYTES = 1 << 20
_BYTES_A_SECOND = 4 << 10      # both ways, by an engine that takes 0.1 s for each command
_GUEST_COPY = GUEST_FILE + ".back"
_MAP_TYPES = {"bus-address": "busAddress", "host-bridge": "throughHostBridge"}


def run(options):
    """Run the demo, and return its exit code."""
    payload = options.file or CHECKOUT / "LICENSE"
    size = payload.stat().st_size
    if size > MOST_BYTES:
        raise DemoError(f"{payload} has {size} bytes, and the emulated DMA engine moves some {_BYTES_A_SECOND} a "
                        f"second: take a file of at most {MOST_BYTES} bytes, or the demo without --dma")
    with Lab(progress=say) as lab, image_file(options, lab.directory) as image:
        programs = options.programs or build.programs(PROGRAM, progress=say)
        host = _boot(lab, image, options.offset + size, programs)
        expected = digest(payload)
        hand_over(payload, host.exchange / "payload")
        report = _transfer(host, programs, options, size, expected)
        came_back = digest(host.exchange / "payload.back") == expected
        host.shutdown()
        report["verified"] = came_back and digest(image, options.offset, size) == expected
        finish(report, image, options)
        return 0 if report["verified"] else 1


def _boot(lab, image, needed, programs):
    drive = {"type": "nvme", "name": "nvme0", "cmb": 16, "drive": {"path": str(image)}}
    with open(image, "r+b") as file:
        file.truncate((needed + MARGIN + (1 << 20) - 1) >> 20 << 20)
    switch = {"type": "switch", "children": [{"type": "edu", "name": "hca"}, drive]}
    return lab.boot(HostSpec("alpha", labhca=True, modules=["nvme"], share=[programs.absolute()],
                             layout=[{"type": "root-port", "children": [switch]}]))[0]


def _transfer(host, programs, options, size, expected):
    """Send the file and fetch it back, and hold what the program says against what the driver counts."""
    say(f"alpha: {size} bytes by {DEVICE} into the drive's memory, to the drive, and back "
        f"(about {size // _BYTES_A_SECOND + 2} s)")
    before = _moved(host)
    process = host.start([programs.absolute() / PROGRAM, DEVICE, "/dev/nvme0n1", GUEST_FILE, "--offset",
                          options.offset, "--output", _GUEST_COPY, "--json"])
    process.wait_for("^slot: ", timeout=60)
    map_type = _map_type(host)
    ended = process.wait(60 + size // (_BYTES_A_SECOND // 4))
    if ended.code != 0:
        raise DemoError(f"{PROGRAM} ended with code {ended.code}:\n{ended.stderr.strip()}")
    said, moved = last_json(ended.stdout, PROGRAM), _moved(host) - before
    # Into the drive's memory and out of it.
    if moved < 2 * size:
        raise DemoError(f"the device's DMA engine has moved {moved} bytes, and {2 * size} went both ways: look at "
                        "Examples/lab/labhca for what its counters mean")
    put = {**said, "seconds": said["putSeconds"]}
    report = assemble([host.name], put, {"seconds": said["getSeconds"]}, said, expected, False, None, options.offset)
    return {**report, "mapType": map_type, "bytesByEngine": moved}


def _moved(host):
    """The bytes that the device's engine has written to memory since the device was made."""
    return int(host.run(f"cat /sys/class/infiniband/{DEVICE}/hw_counters/bytes_moved", check=True).stdout)


def _map_type(host):
    """What the kernel decided about the region that is in use now, as the device's driver tells."""
    text = host.run("rdma resource show mr -dd", check=True).stdout
    found = re.search(r"drv_memory on-demand drv_route (\S+)", text)
    if not found or found[1] not in _MAP_TYPES:
        raise DemoError(f"the driver of {DEVICE} tells of no region of peer memory: {text.strip() or 'nothing'}; "
                        "run the demo again, and Examples/lab/lab for a look into such a host")
    return _MAP_TYPES[found[1]]
