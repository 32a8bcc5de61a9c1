#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Archives that ask for too much: peermr refuses each within 64 MiB of memory and a second of processor time. And large
machines: each command answers, or refuses with a sentence, within 192 MiB and thirty seconds.

    Tests/archives.py --programs DIR
"""
import argparse
import gzip
import multiprocessing
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from hosttests import TESTS, check, run_tests

_MEMORY_KIB, _SECONDS = 64 << 10, 1.0
_MIB = 1 << 20
# Compressors by the ends of names; one that is not installed is left out.
_COMPRESSORS = {"gz": ["gzip", "-1"], "bz2": ["bzip2"], "xz": ["xz", "--lzma2=preset=1,dict=64MiB"],
                "lzma": ["lzma"], "zst": ["zstd", "-q", "--long=27"], "lz4": ["lz4", "-q"]}


def _header(name, size=0, kind=tarfile.REGTYPE, **more):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for key, value in more.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.PAX_FORMAT if "pax_headers" in more else tarfile.GNU_FORMAT)


def _file(name, size, byte=b"z"):
    return _header(name, size) + byte * size + bytes(-size % 512)


def _compressed(path, kind, parts):
    if not shutil.which(_COMPRESSORS[kind][0]):
        return
    with open(path, "wb") as out, subprocess.Popen(_COMPRESSORS[kind], stdin=subprocess.PIPE, stdout=out) as child:
        for part in parts:
            child.stdin.write(part)


def _sparse(count, claimed):
    """A map of holes in the newest form, which is expanded in memory."""
    holes = f"{count}\n".encode() + b"0\n0\n" * count
    return _header("sys/x", len(holes), pax_headers={
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "sys/x",
        "GNU.sparse.realsize": str(claimed)}) + holes + bytes(-len(holes) % 512)


def _nested():
    data = gzip.compress(bytes(70 * _MIB))
    for _ in range(5):
        data = gzip.compress(data)
    return data


def _pax_chain():
    comment = _header("p", 12, b"x") + b"12 comment=\n" + bytes(500)
    return (comment * 1000 for _ in range(100))


# From a name to the parts of a tar archive, which gzip compresses.
_BOMBS = {
    "deep paths": lambda: [_header("sys/" + "d/" * 2000 + "x")],
    "deep and many": lambda: (_header("sys/" + "/".join(f"{row}{level}" for level in range(30)))
                              for row in range(20000)),
    "a long name": lambda: [_header("sys/" + "n" * 100000)],
    "a long link": lambda: [_header("sys/x", 0, tarfile.SYMTYPE, linkname="a/" * 40000)],
    "links out": lambda: [_header("sys/x", 0, tarfile.SYMTYPE, linkname="../../etc/passwd")],
    "a device node": lambda: [_header("sys/x", 0, tarfile.CHRTYPE, devmajor=1, devminor=5)],
    "a hard link": lambda: [_file("sys/a", 1), _header("sys/b", 0, tarfile.LNKTYPE, linkname="sys/a")],
    "an entry twice": lambda: [_file("sys/a", 1), _file("sys/a", 1)],
    "a huge claim": lambda: [_header("sys/x", 1 << 50)],
    "a million entries": lambda: (_header("sys/devices/system/x") * 10000 for _ in range(100)),
    "a hundred thousand directories": lambda: (_header(f"sys/{row:0>90}", 0, tarfile.DIRTYPE)
                                               for row in range(110000)),
    "a map of holes": lambda: [_sparse(5_000_000, 4096)],
    "a hole of a tebibyte": lambda: [_sparse(2, 1 << 40)],
    "headers without an entry": _pax_chain,
    "long attributes": lambda: [_header("sys/x", pax_headers={"SCHILY.xattr.user.x": "v" * 900000})],
}


def _fill(folder):
    for name, parts in _BOMBS.items():
        _compressed(folder / f"{name}.tar.gz", "gz", parts())
    for name, facts in _MACHINES.items():
        _compressed(folder / f"{name}.large", "gz", _large(*facts))
    for kind in _COMPRESSORS:
        _compressed(folder / f"zeros.tar.{kind}", kind, (bytes(_MIB) for _ in range(80)))
        _compressed(folder / f"large files.tar.{kind}", kind, (_file(f"sys/{row}", 4 * _MIB) for row in range(20)))
        _compressed(folder / f"small files.tar.{kind}", kind, (_file(f"sys/{row}", 10) for row in range(70000)))
        _compressed(folder / f"what does not shrink.tar.{kind}", kind,
                    [_header("sys/devices/system/x", 12 * _MIB), *(os.urandom(_MIB) for _ in range(12))])
    (folder / "compressed five times").write_bytes(_nested())
    (folder / "a huge claim.tar").write_bytes(_header("sys/x", 60 * _MIB) + b"x" * 5000)
    (folder / "cut off.tar.gz").write_bytes(gzip.compress(_file("sys/x", 100000))[:-60])
    (folder / "noise").write_bytes(os.urandom(_MIB))
    (folder / "empty").write_bytes(b"")


# From a name to how many functions, how many of them are NICs, and how many bridges stand above each.
_MACHINES = {
    "3000 drives and 64 NICs": (3064, 64, 3), "3000 NICs and drives": (3000, 1500, 2), "3900 drives": (3900, 0, 1),
    "30 below each other": (2000, 8, 30),
}
_LARGE_COMMANDS = (
    ["devices"], ["devices", "--json"], ["topology"], ["topology", "--json"], ["topology", "--all"],
    ["topology", "--all", "--json"], ["topology", "--all", "--dot"], ["topology", "--pairs"],
    ["doctor"], ["doctor", "--json"], ["doctor", "--boot-parameters"],
    ["check", "0000:40:00.0", "0001:40:00.1"])
_LARGE_KIB, _LARGE_SECONDS = 192 << 10, 30.0


def _config(class_code, port, acs):
    space = bytearray(320 if acs is None else 0x208)
    struct.pack_into("<HHHH", space, 0, 0x1af4, 0x1000, 6, 0x10)
    space[9:12] = class_code.to_bytes(3, "little")
    space[0x34] = 0x40
    struct.pack_into("<BBH", space, 0x40, 0x10, 0, 2 | port << 4)
    struct.pack_into("<I", space, 0x100, 1 | 1 << 16 | (0x200 << 20 if acs is not None else 0))
    if acs is not None:
        struct.pack_into("<IHH", space, 0x200, 0xd | 1 << 16, 0x5f, acs)
    return bytes(space)


def _large(count, nics, depth):
    """A machine: in each domain bridges below each other, and below the last one up to 256 functions."""
    def put(name, data):
        return _header(name, len(data)) + data + bytes(-len(data) % 512)

    def link(name, target):
        return _header(name, 0, tarfile.SYMTYPE, linkname=target)

    def function(path, class_code, port=0, acs=None):
        yield put(f"{path}/config", _config(class_code, port, acs))
        yield put(f"{path}/class", b"0x%06x\n" % class_code)
        yield link(f"sys/bus/pci/devices/{path.rsplit('/', 1)[1]}", f"../../../{path[4:]}")

    yield put("proc/cpuinfo", b"processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n\n")
    yield put("proc/sys/kernel/osrelease", b"6.18.0\n")
    yield put("lib/modules/6.18.0/config", b"CONFIG_PCI_P2PDMA=y\n")
    for number in range(count):
        domain, place = divmod(number, 256)
        path = f"sys/devices/pci{domain:04x}:00"
        for level in range(depth):
            path += f"/{domain:04x}:{level:02x}:01.0"
            if place == 0:
                yield from function(path, 0x060400, 4 if level == 0 else 5 + level % 2, 0x1d if domain % 3 == 0 else 0)
        path += f"/{domain:04x}:40:{place // 8:02x}.{place % 8}"
        is_nic = number * nics // count != (number + 1) * nics // count
        yield from function(path, 0x020000 if is_nic else 0x010802)
        kind, name = ("infiniband", f"mlx5_{number}") if is_nic else ("block", f"nvme{number}n1")
        yield link(f"sys/class/{kind}/{name}", f"../../{path[4:]}/{kind}/{name}")
        yield link(f"{path}/{kind}/{name}/device", "../..")
        if not is_nic:
            yield put(f"{path}/p2pmem/size", b"1048576\n")


def _answered(peermr, path, command):
    code, seconds, memory, complaint = _measured([peermr, *command, "--root", path])
    what = (f"{path.stem}, {' '.join(command)}: exit code {code}, {seconds:.2f} s, {memory} KiB, "
            f"{complaint.strip()[:200]}")
    check(code in (0, 1, 3) or code == 2 and "at most" in complaint, what)
    check(seconds <= _LARGE_SECONDS and memory <= _LARGE_KIB, what)


def _measured(words):
    """Run a program: its exit code, processor time, memory in KiB, and what it complained of."""
    with tempfile.TemporaryFile() as complaint:
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=complaint)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        complaint.seek(0)
        return child.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, complaint.read().decode()


def _refused(peermr, path):
    code, seconds, memory, complaint = _measured([peermr, "topology", "--root", path])
    what = f"{path.name}: exit code {code}, {seconds:.2f} s, {memory} KiB, {complaint.strip()[:200]}"
    check(code == 2 and complaint.startswith("peermr: error: "), what)
    check(seconds <= _SECONDS and memory <= _MEMORY_KIB, what)


def main():
    parser = argparse.ArgumentParser(prog="archives.py", description="Archives that peermr has to refuse.")
    parser.add_argument("--programs", type=Path, required=True, help="where peermr is, built for release")
    parser.add_argument("--only", default="", metavar="WORD", help="those with WORD in their names")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peermr-archives-") as folder:
        # In another process: what this one has in memory would count as its children's.
        filling = multiprocessing.Process(target=_fill, args=(Path(folder),))
        filling.start()
        filling.join()
        check(filling.exitcode == 0, "the archives could not be made")
        for path in sorted(Path(folder).glob("*.large")):
            for command in _LARGE_COMMANDS:
                def answered(peermr, path=path, command=command):
                    _answered(peermr, path, command)
                answered.__name__ = f"{path.stem}: {' '.join(command)}"
                answered.__doc__ = f"{path.stem}, {' '.join(command)}"
                TESTS.append(answered)
        for path in sorted(set(Path(folder).iterdir()) - set(Path(folder).glob("*.large"))):
            def refused(peermr, path=path):
                _refused(peermr, path)
            refused.__name__, refused.__doc__ = path.name, f"{path.name} is refused"
            TESTS.append(refused)
        return run_tests(options.only, options.programs / "peermr")


sys.exit(main())
