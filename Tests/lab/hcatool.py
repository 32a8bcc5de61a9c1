# SPDX-License-Identifier: Apache-2.0
"""The host with the lab HCA: scripts of plain verbs, and what the kernel holds for them."""
import contextlib
import re
import shutil
from pathlib import Path

from peerlab import LabError, modules

from checks import check, equal

DEVICE = "labhca0"
MIB = 1 << 20
_SOURCE = Path(__file__).with_name("hca")
_TROUBLE = re.compile(r"WARNING:|BUG:|Oops|general protection|refcount|blocked for more than|"
                      r"DMAR: \[DMA|does not answer")


def tool(bench):
    """The program that runs the scripts, where the guest sees it."""
    program = bench.scratch / "hca-tool"
    if not program.exists():
        made = modules.made(_SOURCE, ["make"], ["hca-tool"])
        shutil.copy(made / "hca-tool", program)
    return program


def start(bench, *commands, device=DEVICE):
    """Start a script; see hca/main.c for its commands."""
    return bench.start(bench.server, [tool(bench), device, *commands])


def script(bench, *commands):
    """Run a script to its end, and return its lines but for the `ok` of what it prepared."""
    result = start(bench, *commands).wait(120)
    equal(result.code, 0, "the exit code of the script")
    return [line for line in result.stdout.splitlines()
            if not re.match(r"(host|udmabuf|heap|p2pmem|alias|vfio) .*ok$|"
                            r"(register|deregister|close|reset|close-buffer|discard|unmap) ok$", line)]


def says(bench, expected, *commands):
    """Fail unless a script prints the lines `expected`."""
    equal(script(bench, *commands), expected, "what the script printed")


def vfio(bench, name):
    """The PCI address of a node of the layout, bound to vfio-pci."""
    bdf = bench.server.bdf(name)
    if "vfio-pci" not in bench.must(bench.server, f"readlink /sys/bus/pci/devices/{bdf}/driver"
                                                  " || true"):
        bench.server.bind(name, "vfio-pci")
    return bdf


def switch(bench, name, value):
    """Set one of the device's switches for tests, and set it back when the test has ended."""
    path = f"/sys/class/infiniband/{DEVICE}/device/labhca/{name}"
    before = bench.must(bench.server, ["cat", path]).strip()
    bench.must(bench.server, f"echo {value} > {path}")
    bench.later(lambda: bench.server.run(f"echo {before} > {path}", check=True))


def counter(bench, name):
    """One of the device's counters."""
    path = f"/sys/class/infiniband/{DEVICE}/hw_counters/{name}"
    return int(bench.must(bench.server, ["cat", path]))


def held(bench):
    """What is held: verbs objects of all devices, live regions, dma-bufs."""
    text = bench.must(bench.server, """
        mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
        rdma resource show; grep -H . /sys/class/infiniband/*/hw_counters/live_regions
        grep Total /sys/kernel/debug/dma_buf/bufinfo; true""")
    numbers = re.findall(r"\b(pd|cq|qp|mr|ctx) (\d+)", text)
    numbers += re.findall(r"(live_regions):(\d+)", text)
    numbers += [("dma-bufs", number) for number in re.findall(r"Total (\d+) objects", text)]
    return {name: int(number) for name, number in numbers}


def nothing_is_left(bench):
    """Fail if the kernel still holds something for a program that has ended, or has complained."""
    found = held(bench)
    check("dma-bufs" in found, "the kernel does not tell of its dma-bufs")
    bench.settles(lambda: set(held(bench).values()), {0}, "what is held after the scripts")
    no_trouble(bench)


def no_trouble(bench):
    """Fail if the kernel's log has a complaint."""
    lines = [line for line in bench.server.dmesg().splitlines() if _TROUBLE.search(line)]
    # Where there is the function that is refused, the IOMMU catches it.
    with contextlib.suppress(LabError):
        narrow = bench.server.bdf("narrow")
        lines = [line for line in lines if narrow not in line]
    check(not lines, "the kernel complains: " + "; ".join(lines[:3]))
