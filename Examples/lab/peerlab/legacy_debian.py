# SPDX-License-Identifier: Apache-2.0
"""A root file system of an older Debian with its RDMA programs, for interoperability tests.

The lab's guests have the rdma-core of their own Debian, and deployed hosts often have an older one.
This root holds those programs and the libraries that they came with, C library included; a guest
runs them with chroot.
"""
import hashlib
import os

from . import cache
from .sandbox import require, run_sandboxed
from .errors import LabError
from .guestroot import KEYRING
from .mirror import mirror, proxy_environment

SUITE = "bookworm"
PACKAGES = ("ibverbs-utils", "rdmacm-utils", "ibverbs-providers")

# What a guest gives the root before it changes into it.
_MOUNTS = "for d in proc sys dev; do mountpoint -q {root}/$d || mount --bind /$d {root}/$d; done"


def legacy_root(progress=None):
    """The directory of the root, made when the cache lacks it; to be shared with guests."""
    recipe = hashlib.sha256(" ".join([SUITE, *PACKAGES]).encode()).hexdigest()[:16]
    path, about = cache.current("legacy-debian")
    if path and about.get("recipe") == recipe:
        return path / "tree"
    if os.geteuid() != 0:
        raise LabError("Making the file system of an older Debian needs root; run this with sudo.")
    require("debootstrap", "debootstrap")
    progress = progress or (lambda text: None)
    with cache.building(progress):
        progress(f"file system of an older Debian, {SUITE}, by debootstrap (about a minute)")
        with cache.generation("legacy-debian", {"recipe": recipe, "suite": SUITE}) as work:
            argv = ["debootstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES),
                    f"--keyring={KEYRING}", SUITE, str(work / "tree")]
            if url := mirror():
                argv.append(url)
            run_sandboxed(argv, "debootstrap", env=proxy_environment())
    return cache.current("legacy-debian")[0] / "tree"


def prepare(host, root):
    """Mount in a guest what the programs of `root` need; the root must be shared with it."""
    host.run(_MOUNTS.format(root=root), check=True)


def command(root, words):
    """The words that run a program of `root` in a guest that was prepared."""
    return ["chroot", str(root), *words]
