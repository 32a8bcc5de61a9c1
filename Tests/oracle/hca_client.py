# SPDX-License-Identifier: Apache-2.0
"""Runs in a guest: asks the kernel for its verdict on the lab HCA as the client of a drive's p2pmem.

An on-demand region is registered over a page of the provider's p2pmem, and the HCA's DMA engine
writes to it and reads from it. The kernel maps the page for the HCA, or refuses with EFAULT.
"""
import os
import re
import subprocess
from pathlib import Path

PCI = Path("/sys/bus/pci/devices")
# Inside the page: an address that lost its offset would show.
_SCRIPT = ("host a 4096", "fill a 7", "fill p 0", "register a", "register p lrwo", "connect",
           "write p+72 a+8:64", "wait", "check p 7 72 64 8", "check p 0 8 64",
           "read p+72 a+1000:64", "wait", "check a 7 1000 64 8", "shell rdma resource show mr -dd")
_DONE = ["write success", "check p same", "check p same", "read success", "check a same"]


def rdma_device(function):
    """The name of the RDMA device of a PCI function."""
    names = os.listdir(PCI / function / "infiniband")
    if len(names) != 1:
        raise SystemExit(f"{function} has the RDMA devices {names}")
    return names[0]


def ask(tool, provider, client):
    """What came of the pair: the result of the write and of the read, whether the data was right, the route."""
    done = subprocess.run([tool, rdma_device(client), f"p2pmem p {provider} 4096", *_SCRIPT],
                          capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    # The second registration is that of the p2pmem.
    registered = [line.split()[1] for line in lines if line.startswith("register ")][1:2]
    if registered != ["ok"]:
        return {"write": registered[0] if registered else done.stdout + done.stderr,
                "read": registered[0] if registered else "", "data": True, "hca": {}}
    found = {word: line.removeprefix(f"{word} ").replace("success", "ok")
             for word in ("write", "read") for line in lines if line.startswith(f"{word} ")}
    return {"write": found.get("write"), "read": found.get("read"),
            "data": [line for line in lines if line in _DONE] == _DONE, "hca": _told(done.stdout, provider)}


def _told(text, provider):
    """What the driver tells of the region: the kernel's route, and whether the address is the processor's."""
    found = re.search(r"drv_route (\S+) drv_dma 0x([0-9a-f]+)", text)
    if not found:
        return {}
    address = int(found[2], 16)
    bars = [[int(word, 16) for word in line.split()]
            for line in (PCI / provider / "resource").read_text().splitlines()]
    return {"route": found[1], "physical": any(start <= address <= end for start, end, _ in bars if end)}
