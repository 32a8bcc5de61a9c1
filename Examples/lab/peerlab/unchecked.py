# SPDX-License-Identifier: Apache-2.0
"""The lab's kernel `unchecked`: Linux 6.12 with peer-to-peer DMA, built from Debian's source.

Before 6.16 Linux maps on-demand regions over peer memory without asking whether the pair of devices
can do it. Distributions ship such kernels with pools of p2pmem; Debian's own 6.12 has none. So the
lab builds one, with few options (setup/unchecked.config), once: it takes some ten minutes.
"""
import contextlib
import errno
import hashlib
import re
import shutil
from pathlib import Path

from . import cache
from .errors import LabError
from .guestroot import guest_root, in_root

NAME = "unchecked"
SOURCE = "linux-source-6.12"
_PACKAGES = [SOURCE, *"gcc make libc6-dev libelf-dev bc flex bison".split()]

_SETUP = Path(__file__).parent / "setup"
_FILES = [_SETUP / "unchecked.config", _SETUP / "unchecked.sh"]
_GENERATION = f"kernel-{NAME}"
# What is read of it whenever it is used. A file that is cut short makes the whole worthless.
_PROVEN = ["vmlinux", "config", "headers/Makefile", "lib/modules/{version}/modules.dep",
           "lib/modules/{version}/modules.builtin"]
# While it is built: what is kept, and the source with what is made of it, beside a compiler.
_DISK_BYTES = 200 << 20
_MEMORY_MIB = 2048
_KEPT_LINES = 200


def form():
    """What the kernel is made from besides its source: when this changes, an old one no longer fits."""
    digest = hashlib.sha256(" ".join(_PACKAGES).encode())
    for file in _FILES:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def is_whole(path, about):
    """Whether nothing of the kernel that was kept in `path` is missing."""
    with contextlib.suppress(OSError, KeyError):
        return about["sizes"] == _sizes(path, about["version"])
    return False


def _sizes(path, version):
    names = [name.format(version=version) for name in _PROVEN]
    return {name: (path / name).stat().st_size for name in names}


def build(progress, is_current, refresh=False):
    """Make sure that the kernel is in the cache; `is_current` tells whether the one there will do.

    It takes long, so it has a lock of its own: others go on filling the cache. Needs a guest root.
    """
    with cache.building(progress, lock=_GENERATION), cache.locked("use", shared=True):
        root = guest_root()
        # The last holder of the lock may have made it.
        if is_current() and not (refresh and _has_newer_source(root, progress)):
            return
        progress(f"kernel {NAME}: building Linux from {SOURCE} (some ten minutes)")
        log = []
        try:
            with cache.generation(_GENERATION, about := {"form": form()}) as work:
                _build(root, work, about, log)
        except (LabError, OSError) as error:
            raise LabError(_explained(error, log)) from error
        with contextlib.suppress(OSError):
            _log_file().unlink(missing_ok=True)


def _has_newer_source(root, progress):
    progress(f"kernel {NAME}: looking for a newer {SOURCE}")
    answer = in_root(root, root / "var" / "tmp", ["candidate", SOURCE], "apt in the guest root")
    version = re.search(r"^candidate: (.*)$", answer, re.MULTILINE)[1]
    return cache.current(_GENERATION)[1].get("packages") != f"{SOURCE}={version}"


def _build(root, work, about, log):
    """Compile in memory, in what is otherwise a copy of the root, and keep only what is needed."""
    if (free := shutil.disk_usage(work).free) < _DISK_BYTES:
        raise OSError(errno.ENOSPC, f"{_DISK_BYTES >> 20} MiB are needed, and there are {free >> 20}")
    memory = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    if (free := int(memory[1]) >> 10) < _MEMORY_MIB:
        raise LabError(f"it is compiled in memory, which takes {_MEMORY_MIB} MiB, and {free} are available")
    for file in _FILES:
        shutil.copy(file, work)
    answer = in_root(root, work, ["build", _FILES[1].name, *_PACKAGES], "the build", progress=log.append)
    about["packages"] = re.search(rf"^package: ({SOURCE}=.*)$", answer, re.MULTILINE)[1]
    about["version"] = re.search(r"^version: (.*)$", answer, re.MULTILINE)[1]
    about["sizes"] = _sizes(work, about["version"])
    for name in ("memory", *(file.name for file in _FILES)):
        cache.remove(work / name)


def _log_file():
    return cache.lab_cache() / f"{_GENERATION}.log"


def _explained(error, log):
    """One sentence for a build that failed, and the place of the log's last lines."""
    sentence = f"The kernel {NAME!r} could not be built: {_cause(error, log)}."
    with contextlib.suppress(OSError):
        if log:
            _log_file().write_text("\n".join(log[-_KEPT_LINES:]) + "\n")
            sentence += f" The last lines of its log are in {_log_file()}."
    return sentence


def _cause(error, log):
    wrong = [line.strip() for line, after in zip(log, [*log[1:], ""])
             if re.search(r"\berror:|^E: |No space left", line) or "***" in after and "***" not in line]
    full = [line for line in wrong if "No space left" in line]
    if full or getattr(error, "errno", None) == errno.ENOSPC:
        return (f"no space is left in {cache.lab_cache()} or in memory ({full[0] if full else error.strerror}): free "
                "some, or name another place in PEERMR_CACHE")
    if not log:
        return str(error).rstrip(".")
    if "fetched" not in log:
        # What apt says first is the cause; that it knows no such package then follows from it.
        lost = [line.strip() for line in log if re.match(r"[EW]: (Failed to fetch|Could not)", line)]
        return (f"its source and a compiler could not be fetched ({[*lost, *wrong[-1:], log[-1].strip()][0]}): the "
                "network or the archive may be out of reach, try again")
    return wrong[0] if wrong else log[-1].strip()
