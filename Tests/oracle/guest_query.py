# SPDX-License-Identifier: Apache-2.0
"""Runs in a guest: grows a machine in memory, and asks the kernel for its verdict on every pair.

    guest_query.py SEED EXTRA ANSWER.json

The machine is that of random_synthetic.py, in the module p2ptree, which is loaded. EXTRA is the address of a
function of the guest's own that is a client and a provider too. There is nothing to move data
with: the verdict is what pci_p2pdma_distance_many() says, and a probe records the map type.
"""
import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from random_synthetic import forest                         # noqa: E402
from kernel import PCI, TRACING, recorded, start_probe      # noqa: E402

MODULE = Path("/sys/kernel/debug/p2ptree")


def tell(file, content):
    """One write to a file of the module."""
    with open(MODULE / file, "wb", buffering=0) as opened:
        opened.write(content if isinstance(content, bytes) else content.encode())


def grow(bridges):
    """Make the machine, and plug in what comes late."""
    late = []
    for bridge in bridges:
        for function in bridge.functions:
            if function.is_late:
                late.append(function)
            else:
                tell("function", function.record())
        tell("bridge", f"{bridge.domain:x} {bridge.first:x} {bridge.last:x} {bridge.parent or ''}")
    for bridge in bridges:
        for function in bridge.functions:
            if function.virtual:
                tell("sriov", f"{function.address} {function.virtual[0]}")
    for function in late:
        tell("function", function.record())
    if late:
        Path("/sys/bus/pci/rescan").write_text("1")


def ask(addresses):
    """Every pair: what the kernel's function said, with a mark for the probe's record."""
    verdicts = []
    with open(TRACING / "trace_marker", "w", buffering=1, encoding="ascii") as marker, \
            open(MODULE / "ask", "wb", buffering=0) as question:
        for number, (provider, client) in enumerate(
                (provider, client) for provider in addresses for client in addresses):
            marker.write(f"pair {number}\n")
            try:
                question.write(f"{provider} {client}".encode())
                verdict = "ok"
            except OSError as error:
                verdict = errno.errorcode[error.errno]
            verdicts.append((provider, client, verdict))
    return verdicts


def main():
    """Grow, ask, and write down all of it."""
    seed, extra, answer = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    if not MODULE.exists():
        subprocess.run(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"], check=False,
                       capture_output=True)
    began = time.monotonic()
    tell("clear", "1")
    bridges = forest(seed, extra)
    grow(bridges)
    if not (TRACING / "events/kprobes/peermr").exists() and not start_probe():
        raise SystemExit("the kernel's decision cannot be probed")
    (TRACING / "buffer_size_kb").write_text("16384")
    (TRACING / "trace").write_text("")
    subprocess.run(["dmesg", "-C"], check=True)
    drawn = [item for bridge in bridges for item in bridge.functions]
    missing = [item.address for item in drawn if not (PCI / item.address).exists()]
    if missing:
        raise SystemExit(f"the kernel did not find {', '.join(missing)}")
    ends = [extra] + [item.address for item in drawn if not item.is_bridge]
    verdicts = ask(ends)
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    record = recorded(release)
    functions = [path.name for path in PCI.iterdir()]
    answer.write_text(json.dumps({
        "release": os.uname().release,
        "access_control": {item.address: item.acs for item in drawn if item.acs is not None},
        "drives": {address: (address, address) for address in ends},
        "has_probe": True,
        "pairs": [{"provider": provider, "client": client, "write": verdict, "read": verdict,
                   "data": True, "record": record.get(number)}
                  for number, (provider, client, verdict) in enumerate(verdicts)],
        "paths": {name: os.path.realpath(PCI / name) for name in functions},
        "sizes": {name: os.stat(PCI / name / "config").st_size for name in functions},
        "log": subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout,
        "seconds": time.monotonic() - began,
    }))


main()
