# SPDX-License-Identifier: Apache-2.0
"""The guest's root file system: a small Debian, the same on every machine that runs the lab."""
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from . import cache
from .sandbox import require, run_sandboxed
from .errors import LabError
from .mirror import mirror, proxy_environment

SUITE = "trixie"

# The tools of the lab and its tests, the RDMA stack, and what Swift's runtime and tests link to.
PACKAGES = """
    bash busybox-static iproute2 iputils-ping kmod parted pciutils procps python3-minimal
    util-linux e2fsprogs rdma-core ibverbs-providers ibverbs-utils rdmacm-utils librdmacm1t64
    libibverbs1 perftest fio nvme-cli libarchive13t64 liburing2 libblkid1 libssl3t64 xz-utils zstd
    libcurl4t64 libgcc-s1 libstdc++6 libxml2 tzdata zlib1g
""".split()

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Counts the ways of building the root: raised when an old one in the cache no longer fits.
_FORM = 1

_SCRIPT = Path(__file__).parent / "setup" / "chroot.sh"


def recipe():
    """What the root is made from: when this changes, an old root no longer fits."""
    text = " ".join([SUITE, str(_FORM), *sorted(PACKAGES)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def guest_root():
    """The root in force, or None when there is none of the present recipe."""
    path, about = cache.current("root")
    return path / "tree" if path and about.get("recipe") == recipe() else None


def fetch_root(progress, refresh=False):
    """Make sure that a guest root is in the cache. Needs the build lock."""
    tree = guest_root()
    if tree and not (refresh and _has_upgrades(tree, progress)):
        return tree
    require("debootstrap", "debootstrap")
    if not KEYRING.exists():
        raise LabError("The keys that sign Debian's archive are not here, and nothing is fetched "
                       "unchecked; install them with: apt-get install debian-archive-keyring")
    about = {"recipe": recipe(), "suite": SUITE}
    with cache.generation("root", about) as work:
        _build(work / "tree", progress)
    return guest_root()


def _build(tree, progress):
    progress(f"guest root: Debian {SUITE} by debootstrap (about a minute)")
    argv = ["debootstrap", "--variant=minbase", "--include=ca-certificates",
            f"--keyring={KEYRING}", SUITE, str(tree)]
    if url := mirror():
        argv.append(url)
    run_sandboxed(argv, "debootstrap", env=proxy_environment())
    progress(f"guest root: {len(PACKAGES)} packages for RDMA, NVMe and PCI (about a minute)")
    in_root(tree, tree / "var" / "tmp", ["install", *PACKAGES], "apt in the guest root")
    # Nothing of the machine that built the root belongs in it.
    (tree / "etc" / "hostname").write_text("lab\n")
    (tree / "etc" / "resolv.conf").unlink(missing_ok=True)
    for leftover in ("var/cache/apt", "var/lib/apt/lists", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(tree / leftover, ignore_errors=True)
    for needed in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial",
                   "usr/lib/modules", "run/lab"):
        (tree / needed).mkdir(parents=True, exist_ok=True)


def copy_root(root, tree):
    """Copy the guest's root, for something to be installed in it."""
    try:
        subprocess.run(["cp", "-a", "--reflink=auto", str(root), str(tree)], check=True,
                       capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise LabError(f"The guest's root cannot be copied: {error.stderr.strip()}. Free some space in "
                       f"{cache.lab_cache()}, or name another place in PEERMR_CACHE.") from error


def in_root(tree, work, arguments, what, network=True, progress=None):
    """Run a command of setup/chroot.sh in the guest root; `work` is its /mnt. Returns its output.

    The root itself changes only by `install`: apt's lists and caches are put on file systems
    in memory which vanish with the command. `progress` gets each line when it is printed.
    """
    return run_sandboxed(["bash", str(_SCRIPT), str(tree), str(work), *arguments], what,
                         env=proxy_environment(), network=network, progress=progress)


def _has_upgrades(tree, progress):
    progress("guest root: looking for newer packages")
    answer = in_root(tree, tree / "var" / "tmp", ["upgrades"], "apt in the guest root")
    return re.search(r"^Inst ", answer, re.MULTILINE) is not None
