# SPDX-License-Identifier: Apache-2.0
"""The guest's kernels: stock Debian ones, taken apart so that they start quickly, and a built one."""
import lzma
import os
import re
import struct

from . import cache, unchecked
from .errors import LabError
from .guestroot import SUITE, in_root

# The name that users choose by, and the suite it comes from.
SUITES = {"new": f"{SUITE}-backports", "stable": SUITE}
NAMES = [*SUITES, unchecked.NAME]

# Modules that the lab or a test loads; they and what they need are stored uncompressed.
MODULES = """
    virtio_pci 9p 9pnet_virtio overlay virtio_net veth dummy
    ib_uverbs rdma_ucm rdma_rxe nvme nvmet nvmet_rdma nvme_rdma vfio_pci ext4 loop uio_pci_generic
""".split()

# Counts the ways of taking a kernel apart: raised when an old one in the cache no longer fits.
_FORM = 2

_UNPACKERS = {b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def kernel(name):
    """The kernel `name` in the cache as a `Kernel`, or None."""
    check_name(name)
    path, about = cache.current(f"kernel-{name}")
    if name == unchecked.NAME:
        fits = path and about.get("form") == unchecked.form() and unchecked.is_whole(path, about)
    else:
        fits = path and about.get("form") == _FORM
    return Kernel(path, about) if fits else None


def check_name(name):
    """Refuse a kernel that the lab does not know."""
    if name not in NAMES:
        raise LabError(f"There is no kernel {name!r}; choose one of: {', '.join(NAMES)}.")


class Kernel:
    """A kernel in the cache: its image, its modules, and of a built one what modules are built with."""

    def __init__(self, path, about):
        self.path = path
        self.version = about["version"]
        self.packages = about["packages"]
        self.image = path / "vmlinux" if (path / "vmlinux").exists() else path / "vmlinuz"
        self.modules = path / "lib" / "modules"
        self.headers = path / "headers" if (path / "headers").is_dir() else None

    def closure(self, names):
        """The files of these modules and all that they need, in the order to load them."""
        return closure(self.modules / self.version, names)


def fetch_kernel(name, root, progress, refresh=False):
    """Make sure that Debian's kernel `name` is in the cache. Needs the build lock and a guest root."""
    check_name(name)
    have = kernel(name)
    if have and not refresh:
        return have
    progress(f"kernel {name}: linux-image-amd64 of {SUITES[name]}"
             + (", looking for a newer one" if have else " (about a minute)"))
    about = {"form": _FORM}
    try:
        with cache.generation(f"kernel-{name}", about) as work:
            _fetch(name, root, work, about, have.packages if have else "")
    except _Unchanged:
        return have
    return kernel(name)


class _Unchanged(Exception):
    """The kernel in the cache is the newest."""


def _fetch(name, root, work, about, known):
    answer = in_root(root, work, ["kernel", SUITES[name], known], f"fetching the kernel {name!r}")
    about["packages"] = re.search(r"^packages: (.*)$", answer, re.MULTILINE).group(1)
    if about["packages"] == known:
        raise _Unchanged
    # Packages differ in where they keep the image (/boot or beside the modules) and the modules.
    tree = work / "tree"
    image = [*tree.glob("boot/vmlinuz-*"), *tree.glob("**/modules/*/vmlinuz")][0]
    directory = next(tree.glob("**/modules/*/modules.builtin")).parent
    about["version"] = version = directory.name
    image.rename(work / "vmlinuz")
    _unpack_image(root, work)
    modules = work / "lib" / "modules" / version
    modules.parent.mkdir(parents=True)
    directory.rename(modules)
    cache.remove(tree)
    in_root(root, work, ["depmod", version], "depmod")
    for path in closure(modules, MODULES):
        if path.suffix == ".xz":
            path.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
            path.unlink()
    in_root(root, work, ["depmod", version], "depmod")


def _unpack_image(root, work):
    """Write the ELF image inside the bzImage to `vmlinux`, where it is packed in a way we know.

    A processor that QEMU emulates takes seconds to unpack a kernel; QEMU can start the ELF image
    itself, by its PVH entry. Anything unexpected is no error: the bzImage boots too.
    """
    data = (work / "vmlinuz").read_bytes()
    if data[0x202:0x206] != b"HdrS":
        return
    # Boot protocol: sectors of the real-mode part, then offset and length of the packed kernel,
    # the last four bytes of which are its unpacked size.
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = ((data[0x1f1] or 4) + 1) * 512 + offset
    payload = data[start:start + length - 4]
    for magic, tool in _UNPACKERS.items():
        if payload.startswith(magic):
            (work / "payload").write_bytes(payload)
            in_root(root, work, ["unpack", tool], "unpacking the kernel")
            (work / "payload").unlink()


def closure(directory, names):
    """Files of the modules `names` and all that they need in `directory`, in loading order."""
    needs, by_name = {}, {}
    for line in (directory / "modules.dep").read_text().splitlines():
        file, _, rest = line.partition(":")
        needs[file] = rest.split()
        by_name[module_name(file)] = file
    builtin = {module_name(line) for line in
               (directory / "modules.builtin").read_text().splitlines()}
    wanted = []

    def visit(file):
        if file not in wanted:
            for dependency in needs[file]:
                visit(dependency)
            wanted.append(file)

    for name in names:
        if name in by_name:
            visit(by_name[name])
        elif name not in builtin:
            raise LabError(f"The kernel in {directory} has no module {name}.")
    return [directory / file for file in wanted]


def module_name(path):
    """The name of a module as modprobe has it, from its file name."""
    return os.path.basename(path).split(".ko")[0].replace("-", "_")
