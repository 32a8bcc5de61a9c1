# SPDX-License-Identifier: Apache-2.0
"""A lab: hosts that are booted, joined and torn down together."""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

from . import accel, cache, engines, guestsetup, labhca, mounts, qemu, signals, unprivileged
from .sandbox import die_with_parent
from .errors import LabError
from .fetch import assets
from .host import Host
from .initramfs import initramfs
from .layout import Layout

_BOOT_SECONDS = 120


class _DiedAtStart(LabError):
    """A guest was lost before any program of ours ran in it."""


class Lab:
    """Use it in a `with` statement: at the end of that nothing of it is left.

    Hosts must be booted from the main thread: the kernel ends a machine with the thread that
    started it, so that none can outlive us.
    """

    def __init__(self, progress=None):
        self._progress = progress or (lambda text: None)
        self._stack = contextlib.ExitStack()
        self.hosts = []
        self.directory = None
        self._count = 0

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(signals.orderly())
            stack.enter_context(cache.locked("use", shared=True))
            self.directory = stack.enter_context(cache.run_directory())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind, _error, _trace):
        with signals.shielded():
            self._teardown(clean=kind is None)
            self._stack.close()

    def boot(self, *specs, join=False, timeout=_BOOT_SECONDS, console=qemu.console):
        """Boot hosts side by side and return them; with `join`, on one network.

        `console` makes QEMU's arguments for where the guests' consoles go. Now and then the
        emulator loses a guest in its first second: then all of them are booted once more.
        """
        self._check_names(specs)
        kernels = {spec.kernel for spec in specs}
        root, kernels = assets(kernels, self._progress)
        # Built before the first machine starts, and found built ever after.
        for spec in specs:
            if spec.labhca:
                labhca.build(spec.kernel, self._progress)
        rich = engines.engines_root(self._progress).tree if any(spec.engines for spec in specs) else root
        accelerator = accel.accelerator(kernels[specs[0].kernel], root, self._progress)
        joined = join and len(specs) > 1
        self._progress(f"starting {', '.join(spec.name for spec in specs)} "
                       f"({'KVM' if accelerator == 'kvm' else 'software emulation'})")
        machines = [(spec, kernels[spec.kernel], rich if spec.engines else root) for spec in specs]
        try:
            return self._boot(machines, joined, accelerator, timeout, console)
        except _DiedAtStart as error:
            print(f"lab: {str(error).splitlines()[0]} Booting once more.", file=sys.stderr, flush=True)
            return self._boot(machines, joined, accelerator, timeout, console)

    def _boot(self, machines, joined, accelerator, timeout, console):
        """Boot these side by side, once: each is a spec, a kernel and a root."""
        started = time.monotonic()
        cables = _cables(len(machines)) if joined else [[] for _ in machines]
        hosts = []
        try:
            for number, (spec, kernel, root) in enumerate(machines, 1):
                hosts.append(self._start(spec, number, cables[number - 1], accelerator, root, kernel,
                                         console))
            for host in hosts:
                self._await(host, started, timeout)
        except LabError:
            for host in hosts:
                host.finish(0)
            raise
        finally:
            for cable in sum(cables, []):
                cable.close()
        self._progress(f"started in {time.monotonic() - started:.1f} s")
        return hosts

    def _check_names(self, specs):
        """Names become host names and directories; two running hosts need different ones."""
        names = [host.name for host in self.hosts if host.state not in ("killed", "off")]
        for spec in specs:
            if not re.fullmatch(r"[a-z][a-z0-9-]*", spec.name):
                raise LabError(f"{spec.name!r} cannot be a host's name: use small letters, digits "
                               "and -, with a letter first.")
            if spec.name in names:
                raise LabError(f"There is a host {spec.name} already; give each its own name.")
            names.append(spec.name)

    def shell(self, spec):
        """Boot one host with its console at our terminal, and run a shell there to its end."""
        before = termios.tcgetattr(0) if os.isatty(0) else None
        rows, columns = os.get_terminal_size(0) if before else (24, 80)
        try:
            host = self.boot(spec, console=qemu.terminal)[0]
            host.send(f"shell {columns} {rows}")
            host.finish(None)
        finally:
            if before:
                termios.tcsetattr(0, termios.TCSADRAIN, before)

    def _start(self, spec, number, cables, accelerator, root, kernel, console):
        """Start the machine for one spec; it is not ready when this returns."""
        self._count += 1
        directory = self.directory / f"{self._count}-{spec.name}"
        (directory / "exchange").mkdir(parents=True)
        layout = Layout(spec.layout, directory)
        host = Host(spec, number, directory, layout)
        shared = mounts.shares(spec)
        shutil.copy(Path(__file__).parent / "guest" / "agent", host.exchange / "agent")
        (host.exchange / "setup").write_text(
            guestsetup.script(spec, number, bool(cables), shared))
        if spec.labhca:
            labhca.put(spec.kernel, host.exchange / "labhca", self._progress)
        if spec.engines:
            engines.put(host.exchange / "engines", self._progress)
        control, their_control = socket.socketpair()
        monitor, their_monitor = socket.socketpair()
        command = self._rights(host, spec, layout, accelerator)
        command += qemu.machine(accelerator, spec.cpu, spec.memory_mib, spec.smp, spec.counts)
        command += qemu.start(kernel, initramfs(kernel, root),
                              qemu.iommu_parameters(spec.iommu) + spec.append.split())
        command += console(host.console_log)
        command += qemu.channels(their_control.fileno(), their_monitor.fileno())
        command += qemu.share(0, "root", root)
        command += qemu.share(1, "modules", kernel.modules)
        command += qemu.share(2, "exchange", host.exchange, writable=True)
        for index, (tag, path, writable) in enumerate(shared, 3):
            command += qemu.share(index, tag, path, writable)
        if cables:
            command += qemu.network([cable.fileno() for cable in cables], number)
        command += qemu.iommu(spec.iommu) + spec.qemu + layout.arguments
        inherited = [their_control, their_monitor, *cables]
        with contextlib.ExitStack() as ours, open(directory / "qemu.log", "wb") as log:
            ours.enter_context(their_control)
            ours.enter_context(their_monitor)
            at_terminal = console is qemu.terminal
            machine = subprocess.Popen(
                command, stdin=None if at_terminal else subprocess.DEVNULL,
                stdout=None if at_terminal else log, stderr=log,
                pass_fds=[item.fileno() for item in inherited],
                start_new_session=True, preexec_fn=die_with_parent)
        host.attach(machine, control, monitor)
        self.hosts.append(host)
        return host

    @staticmethod
    def _rights(host, spec, layout, accelerator):
        """What gives QEMU no more rights than it needs; its files exist and are its own from here on."""
        drives = layout.drives.values()
        outside = bool(spec.writable) or any(host.directory not in drive.parents for drive in drives)
        words = unprivileged.words(outside, accelerator)
        if words:
            host.console_log.touch()
            unprivileged.hand_over([host.exchange, host.console_log, *drives, *layout.logs.values()])
        return words

    def _await(self, host, started, timeout):
        """Wait until the agent of `host` says that it is ready."""
        while host.state == "starting":
            try:
                host.check_alive("while it started")
            except LabError as error:
                raise _DiedAtStart(str(error)) if host.died_at_start else error
            if time.monotonic() > started + timeout:
                raise LabError(f"The host {host.name} was not ready within {timeout} s.\n"
                               + host.console_hint())
            host.pump(0.1)
        if host.state != "ready":
            raise LabError(f"The host {host.name} could not be set up.\n" + host.console_hint())
        host.boot_seconds = time.monotonic() - started

    def _teardown(self, clean):
        """End all machines: in an orderly way when nothing went wrong, else at once."""
        for host in self.hosts:
            if clean:
                host.shutdown(wait=False)
        for host in self.hosts:
            host.finish(5 if clean else 0)
        self.hosts = []


def _cables(count):
    """Each host's cable ends: two hosts have one cable, more meet at the first."""
    ends = [[] for _ in range(count)]
    for other in range(1, count):
        here, there = socket.socketpair()
        ends[0].append(here)
        ends[other].append(there)
    return ends
