# SPDX-License-Identifier: Apache-2.0
"""The first file system of the guest: busybox, the modules to reach the root, and guest/init."""
import hashlib
import io
import stat
from pathlib import Path

from . import cache

_INIT = Path(__file__).parent / "guest" / "init"
_MODULES = ["virtio_pci", "9p", "9pnet_virtio", "overlay"]


def initramfs(kernel, root):
    """The initramfs for `kernel`, made when there is none of the present init script."""
    busybox = root / "usr" / "bin" / "busybox"
    key = hashlib.sha256(_INIT.read_bytes() + busybox.read_bytes()).hexdigest()[:16]
    path = kernel.path / f"initramfs.{key}"
    if not path.exists():
        with cache.locked("build"):
            for old in kernel.path.glob("initramfs.*"):
                old.unlink()
            part = kernel.path / "initramfs.part"
            part.write_bytes(_archive(kernel, busybox))
            part.rename(path)
    return path


def _archive(kernel, busybox):
    out = io.BytesIO()
    modules = kernel.closure(_MODULES)
    for name in ("bin", "dev", "proc", "sys", "modules", "lower", "memory", "root"):
        _entry(out, name, stat.S_IFDIR | 0o755)
    _entry(out, "dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    _entry(out, "bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    for module in modules:
        _entry(out, f"modules/{module.name}", stat.S_IFREG | 0o644, module.read_bytes())
    order = "".join(module.name + "\n" for module in modules)
    _entry(out, "modules/order", stat.S_IFREG | 0o644, order.encode())
    _entry(out, "init", stat.S_IFREG | 0o755, _INIT.read_bytes())
    _entry(out, "TRAILER!!!", 0)
    return out.getvalue()


def _entry(out, name, mode, data=b"", device=(0, 0)):
    """Write one entry of the `newc` cpio format, the one that the kernel reads."""
    encoded = name.encode() + b"\0"
    fields = (out.tell(), mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
    out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
    out.write(b"\0" * (-out.tell() % 4) + data)
    out.write(b"\0" * (-out.tell() % 4))
