# SPDX-License-Identifier: Apache-2.0
"""What came of a demo: the report for programs, and the same in words."""
import hashlib
import json
import os
import tempfile


class DemoError(Exception):
    """One sentence with cause and remedy."""


def digest(file, offset=0, count=None):
    """SHA-256 of a part of a file, read by this program and not by the one that is shown."""
    sha = hashlib.sha256()
    left = count
    with open(file, "rb") as source:
        source.seek(offset)
        while left is None or left > 0:
            data = source.read(1 << 20 if left is None else min(1 << 20, left))
            if not data:
                break
            sha.update(data)
            left = None if left is None else left - len(data)
    return sha.hexdigest()


def last_json(text, operation):
    """The last object on a line of its own in a program's output that is about `operation`."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            found = json.loads(line)
            if found.get("operation") == operation:
                return found
    raise DemoError(f"the program did not say how its {operation} went; its output was:\n{text}")


def assemble(hosts, put, get, served, expected, verified, image, offset):
    """The report. `put` and `get` are the client's words, `served` the server's counts for both.

    Bytes are per direction: what the server counted for the direction that had the fewest (peer to
    peer) or the most (bounced), so that a byte that went another way in either shows.
    """
    directions = [served["put"], served["get"]]
    return {
        "hosts": hosts,
        "bytes": put["bytes"],
        "memory": put["memory"],
        "method": put["method"],
        "nic": put["nic"],
        "bytesPeerToPeer": min(item["bytesPeerToPeer"] for item in directions),
        "bytesBounced": max(item["bytesBounced"] for item in directions),
        "verified": verified,
        "sha256": expected,
        "diskImage": image,
        "diskOffset": offset,
        "putSeconds": round(put["seconds"], 6),
        "getSeconds": round(get["seconds"], 6),
        "put": {key: served["put"][key] for key in ("bytesPeerToPeer", "bytesBounced", "bytesHost")},
        "get": {key: served["get"][key] for key in ("bytesPeerToPeer", "bytesBounced", "bytesHost")},
    }


_WAYS = {"busAddress": "by bus address, below one PCIe switch",
         "throughHostBridge": "through the host bridge"}


def sentence(report):
    """Which way the bytes went, in one sentence."""
    if "bytesByEngine" in report:
        return (f"All {report['bytesPeerToPeer']} of {report['bytes']} bytes went over RDMA into the drive's "
                f"controller memory buffer, {_WAYS[report['mapType']]}, from there into the drive, and back the "
                "same way; an RDMA device's own DMA engine moved them over an emulated bus, and no processor of "
                "the guest did.")
    mover = ("Soft-RoCE, where the CPU copies in the kernel and no NIC does DMA"
             if report["nic"] == "software" else "the NIC's own DMA")
    if report["memory"] == "p2pmem":
        return (f"All {report['bytesPeerToPeer']} of {report['bytes']} bytes went over RDMA straight "
                "into the drive's controller memory buffer and from there into the drive, and back "
                f"the same way, with no buffer in between ({report['bytesBounced']} bounced); they "
                f"were moved by {mover}.")
    return (f"All {report['bytes']} bytes went over RDMA into the server's host memory and from "
            f"there into the drive, and back the same way; they were moved by {mover}.")


def show(report, write=print):
    """The report for people."""
    def rate(seconds):
        mebibytes = report["bytes"] / seconds / (1 << 20)
        return f"{mebibytes:.1f} MiB/s" if mebibytes >= 0.1 else f"{mebibytes * 1024:.1f} KiB/s"
    write(f"sent      {report['bytes']} bytes in {report['putSeconds']:.3f} s "
          f"({rate(report['putSeconds'])}), acknowledged after a flush of the drive")
    write(f"fetched   {report['bytes']} bytes in {report['getSeconds']:.3f} s "
          f"({rate(report['getSeconds'])})")
    write(f"memory    {report['memory']}, registered {report['method']}")
    write(f"sha256    {report['sha256']}")
    check = "yes: what came back and what stands on the drive is what was sent"
    write(f"verified  {check if report['verified'] else 'NO'}")
    if report["diskImage"]:
        write(f"drive     {report['diskImage']}, the bytes begin at {report['diskOffset']}")
    write(sentence(report))


def save(report, path):
    """Write the report in one step: a reader never sees half of it."""
    directory = path.absolute().parent
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=directory)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(report, file, indent=2)
            file.write("\n")
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise
