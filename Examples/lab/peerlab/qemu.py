# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line for one host.

The machine is stripped of everything that costs start-up time and belongs to no layout. What the
lab needs itself sits at the top of the root bus: its shares in 1e, 1c and 1b, its network in 1d.
"""
import os
import re
import subprocess

from .errors import LabError

PROGRAM = "qemu-system-x86_64"

_MACHINE = "q35,sata=off,smbus=off,i8042=off,vmport=off,hpet=off"
# System calls that no guest of the lab needs: what breaks out of the machine finds them shut.
_SANDBOX = ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
_KERNEL_PARAMETERS = """
    console=ttyS0 panic=-1 quiet mitigations=off audit=0 apparmor=0 no_timer_check nowatchdog
    tsc=reliable random.trust_cpu=on rcupdate.rcu_expedited=1 cryptomgr.notests=1
""".split()
_SHARE_SLOTS = ("1e", "1c", "1b")


# How the kernel uses an IOMMU: not at all for its own drivers, or to translate.
IOMMUS = {
    "passthrough": ["intel_iommu=on", "iommu=pt"],
    "translated": ["intel_iommu=on", "iommu.passthrough=0"],
}


def version():
    """QEMU's version line, or None when it is not installed."""
    try:
        answer = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return re.search(r"version (\S+)", answer.stdout).group(1)


def machine(accelerator, cpu="max", memory_mib=1024, smp=1, counts=False):
    """The arguments that every guest of the lab starts with.

    Where it `counts` an instruction takes a nanosecond of its time: only an emulator can, with one
    thread that runs all processors in turn.
    """
    accel = "kvm" if accelerator == "kvm" else "tcg,thread=multi"
    if counts:
        accel = "tcg,thread=single"
    return [PROGRAM, *_SANDBOX, "-nodefaults", "-nographic", "-no-reboot", "-no-user-config",
            "-machine", _MACHINE, "-accel", accel, "-cpu", cpu, "-m", str(memory_mib),
            "-smp", str(smp), *(["-icount", "shift=0,sleep=off"] if counts else [])]


def iommu(kind):
    """An emulated IOMMU, which has to come before the devices that it is for."""
    if not kind:
        return []
    if kind not in IOMMUS:
        raise LabError(f"There is no iommu {kind!r}; choose one of: {', '.join(IOMMUS)}.")
    return ["-machine", "kernel-irqchip=split", "-device", "intel-iommu,intremap=on"]


def iommu_parameters(kind):
    """The kernel parameters for it."""
    return IOMMUS.get(kind, [])


def start(kernel, first_files, parameters):
    """The arguments for a direct kernel start."""
    return ["-kernel", str(kernel.image), "-initrd", str(first_files),
            "-append", " ".join(_KERNEL_PARAMETERS + parameters)]


def console(log):
    """The guest's console, written to a file."""
    return ["-chardev", f"file,id=console,path={_escaped(log)}", "-serial", "chardev:console"]


def terminal(log):
    """The guest's console at our own terminal, Ctrl-C included, and in a file as well."""
    return ["-chardev", f"stdio,id=console,signal=off,logfile={_escaped(log)}",
            "-serial", "chardev:console"]


def channels(control, monitor):
    """The second serial port and the machine's monitor, on sockets that QEMU inherits."""
    return ["-chardev", f"socket,id=control,fd={control}", "-serial", "chardev:control",
            "-chardev", f"socket,id=monitor,fd={monitor}",
            "-mon", "chardev=monitor,mode=control"]


def share(index, tag, path, writable=False):
    """A directory of ours as a 9p share; eight of them to a slot."""
    place = f"{_SHARE_SLOTS[index // 8]}.{index % 8}"
    mode = "" if writable else ",readonly=on"
    several = ",multifunction=on" if index % 8 == 0 else ""
    return ["-fsdev", f"local,id=fs-{tag},path={_escaped(os.path.realpath(path))},"
            f"security_model=none,multidevs=remap{mode}",
            "-device", f"virtio-9p-pci,fsdev=fs-{tag},mount_tag={tag},bus=pcie.0,"
            f"addr={place}{several}"]


def network(links, number):
    """A network card for host `number` on `links`: sockets to other hosts, inherited.

    One link is a cable; with several, QEMU's hub joins them to one segment.
    """
    card = ["-device", "virtio-net-pci,id=eth0,netdev=net0,host_mtu=9000,romfile=,bus=pcie.0,"
            f"addr=1d,mac=52:54:00:4d:52:{number:02x}"]
    streams = [f"server=off,addr.type=fd,addr.str={link}" for link in links]
    if len(streams) == 1:
        return ["-netdev", f"stream,id=net0,{streams[0]}", *card]
    hub = ["-netdev", "hubport,id=net0,hubid=0"]
    for index, stream in enumerate(streams):
        hub += ["-netdev", f"stream,id=link{index},{stream}",
                "-netdev", f"hubport,id=hub{index},hubid=0,netdev=link{index}"]
    return hub + card


def _escaped(path):
    return str(path).replace(",", ",,")
