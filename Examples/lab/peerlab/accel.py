# SPDX-License-Identifier: Apache-2.0
"""Whether KVM works here, found out the only way that tells: by booting something in it."""
import json
import os
import subprocess
import time
from pathlib import Path

from . import cache, qemu
from .sandbox import die_with_parent
from .errors import LabError
from .initramfs import initramfs

_PROBE_SECONDS = 10


def accelerator(kernel, root, progress=lambda text: None):
    """The accelerator to use: "kvm" or "tcg". $PEERMR_LAB_ACCEL decides; else a boot, once."""
    if qemu.version() is None:
        raise LabError("QEMU is not installed; install it with: apt-get install qemu-system-x86")
    if forced := os.environ.get("PEERMR_LAB_ACCEL"):
        if forced not in ("kvm", "tcg"):
            raise LabError(f"PEERMR_LAB_ACCEL is {forced!r}; it can be kvm or tcg.")
        return forced
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    # The answer holds until the machine is booted again or QEMU is another.
    asked = {"boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
             "qemu": qemu.version()}
    answer = cache.lab_cache() / "accelerator.json"
    try:
        known = json.loads(answer.read_text())
        if known["asked"] == asked:
            return known["accelerator"]
    except (OSError, ValueError, KeyError):
        pass
    progress("trying whether KVM works here")
    found = "kvm" if _kvm_boots(kernel, root) else "tcg"
    part = answer.with_suffix(".part")
    part.write_text(json.dumps({"asked": asked, "accelerator": found}) + "\n")
    part.rename(answer)
    return found


def _kvm_boots(kernel, root):
    """Whether a guest under KVM gets as far as its first program."""
    command = qemu.machine("kvm", memory_mib=256) + qemu.start(
        kernel, initramfs(kernel, root), ["lab.probe"])
    command += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
    limit = time.monotonic() + _PROBE_SECONDS
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, start_new_session=True,
                          preexec_fn=die_with_parent) as machine:
        os.set_blocking(machine.stdout.fileno(), False)
        seen = b""
        try:
            while time.monotonic() < limit and machine.poll() is None:
                time.sleep(0.1)
                seen += machine.stdout.read() or b""
                if b"lab-probe-ok" in seen or b"KVM internal error" in seen:
                    break
        finally:
            machine.kill()
    return b"lab-probe-ok" in seen
