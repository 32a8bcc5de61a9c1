# SPDX-License-Identifier: Apache-2.0
"""The programs of an older Debian, for hosts of the lab: a root to change into.

The lab's guests have the rdma-core of their own Debian; what runs on the networks of this world
is often older, and speaks the same protocols or does not. This root has those programs with the
libraries that they came with, C library included.
"""
import hashlib
import os

from . import cache
from .confine import require, run_confined
from .errors import LabError
from .guestroot import KEYRING
from .mirror import mirror, proxy_environment

SUITE = "bookworm"
PACKAGES = ("ibverbs-utils", "rdmacm-utils", "ibverbs-providers")

# What a guest gives the root before it changes into it.
_MOUNTS = "for d in proc sys dev; do mountpoint -q {root}/$d || mount --bind /$d {root}/$d; done"


def elder_root(progress=None):
    """The directory of the root, made when the cache lacks it; to be shared with guests."""
    recipe = hashlib.sha256(" ".join([SUITE, *PACKAGES]).encode()).hexdigest()[:16]
    path, about = cache.current("elder")
    if path and about.get("recipe") == recipe:
        return path / "tree"
    if os.geteuid() != 0:
        raise LabError("Making the elder root needs the rights of root; run this with sudo.")
    require("debootstrap", "debootstrap")
    progress = progress or (lambda text: None)
    with cache.building(progress):
        progress(f"elder root: Debian {SUITE} by debootstrap (about a minute)")
        with cache.generation("elder", {"recipe": recipe, "suite": SUITE}) as work:
            argv = ["debootstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES),
                    f"--keyring={KEYRING}", SUITE, str(work / "tree")]
            if url := mirror():
                argv.append(url)
            run_confined(argv, "debootstrap", env=proxy_environment())
    return cache.current("elder")[0] / "tree"


def prepare(host, root):
    """Mount in a guest what the programs of `root` need; the root must be shared with it."""
    host.run(_MOUNTS.format(root=root), check=True)


def command(root, words):
    """The words that run a program of `root` in a guest that was prepared."""
    return ["chroot", str(root), *words]
