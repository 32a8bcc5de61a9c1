# SPDX-License-Identifier: Apache-2.0
"""One virtual host: what it is made of, and what can be done with it once it runs."""
import json
import re
import select
import shlex
import subprocess
import threading
import time
from dataclasses import dataclass, field

from . import guestsetup, private
from .errors import LabError
from .process import Process


@dataclass
class HostSpec:
    """What a host is made of."""

    name: str = "host"
    kernel: str = "new"             # or "stable", "unchecked"
    cpu: str = "max"                # a CPU model as QEMU names it
    memory_mib: int = 1024
    smp: int = 1
    rdma: bool = False              # Soft-RoCE as rxe0
    mtu: int = 4200                 # of eth0; rxe's path MTU is the next lower power of two
    layout: list = None             # PCI nodes, see README.md
    share: list = field(default_factory=list)       # further directories, read-only, at their path
    writable: list = field(default_factory=list)    # directories shared for writing
    append: str = ""                # kernel parameters
    qemu: list = field(default_factory=list)        # QEMU arguments, before the layout's
    modules: list = field(default_factory=list)     # kernel modules to load
    iommu: str = None               # "passthrough" or "translated": an emulated Intel one
    labhca: bool = False            # make RDMA devices of the layout's `edu` nodes: labhca0, ...
    counts: bool = False            # a clock that counts instructions, one a nanosecond
    engines: bool = False           # the root with UCX, Open MPI, libfabric and Mooncake


class Host:
    """A running host. Made by `Lab.boot`."""

    def __init__(self, spec, number, directory, layout):
        self.spec = spec
        self.name = spec.name
        self.address = guestsetup.address(number)
        self.drives = layout.drives
        self.logs = layout.logs
        self.directory = directory
        self.exchange = directory / "exchange"
        self.console_log = directory / "console.log"
        self.state = "starting"
        self.boot_seconds = None
        self._layout = layout
        self._count = 0
        self._machine = self._control = self._monitor = None
        self._received = b""
        self._lock = threading.RLock()

    def attach(self, machine, control, monitor):
        """Take over the QEMU process and our ends of its sockets."""
        self._machine, self._control, self._monitor = machine, control, monitor
        control.setblocking(False)

    # Commands

    def start(self, command, env=None, cwd=None):
        """Start a command (a shell line, or a list of words) and return its Process at once."""
        line = command if isinstance(command, str) else "exec " + shlex.join(map(str, command))
        with self._lock:
            self._count += 1
            number = self._count
        text = "".join(f"export {key}={shlex.quote(str(value))}\n"
                       for key, value in (env or {}).items())
        text += f"cd {shlex.quote(str(cwd or '/root'))} || exit\n{line}\n"
        private.write_new(self.exchange / f"{number}.sh", text)
        title = command if isinstance(command, str) else shlex.join(map(str, command))
        return Process(self, number, title if len(title) < 200 else title[:200] + "...")

    def run(self, command, timeout=60, env=None, check=False, on_output=None, cwd=None):
        """Run a command to its end and return its Result.

        With `check`, a code other than 0 raises LabError. See `Process.wait` for the rest.
        """
        result = self.start(command, env, cwd).wait(timeout, on_output)
        if check and result.code != 0:
            raise LabError(f"{command!r} on {self.name} ended with code {result.code}:\n"
                           + (result.stdout + result.stderr)[-2000:].rstrip())
        return result

    def dmesg(self):
        """The guest's kernel log."""
        return self.run("dmesg", check=True).stdout

    def bdf(self, name):
        """The PCI address in the guest (0000:BB:DD.F) of the layout's node `name`."""
        if name not in self._layout.places:
            raise LabError(f"The PCI layout of {self.name} has no node {name!r}; it has: "
                           + ", ".join(self._layout.places))
        place = self._layout.places[name]
        found = self.run(f"cd {place} && pwd -P").stdout.strip()
        if not found:
            raise LabError(f"The PCI node {name!r} is not on {self.name}: nothing is at {place}.")
        return found.rsplit("/", 1)[1]

    def bind(self, name, driver):
        """Give the layout's node `name` to another PCI driver, for instance vfio-pci."""
        path = f"/sys/bus/pci/devices/{self.bdf(name)}"
        self.run(f"modprobe {driver}; cd {path} && echo {driver} > driver_override && "
                 "if [ -e driver ]; then echo ${PWD##*/} > driver/unbind; fi && "
                 "echo ${PWD##*/} > /sys/bus/pci/drivers_probe && "
                 f"test $(basename $(readlink driver)) = {driver}", check=True)

    # What happens to hosts

    def unplug(self, name):
        """Ask for the layout's node `name` to be taken out, as by the button at its slot.

        It is gone when the guest has released it. The node must be behind a root port or a
        switch; nothing can be unplugged from the root bus.
        """
        self.bdf(name)      # says what is wrong with the name
        self._ask_monitor("device_del", id=name)

    def set_link(self, up):
        """Put the network cable in, or pull it out."""
        self._ask_monitor("set_link", name="eth0", up=up)

    def hold_flushes(self, name):
        """Keep the next flush of the drive `name` from being done; the drive has faults or a log in its layout."""
        self._drive_debug(name, "break flush_to_disk held")

    def let_flush(self, name):
        """Let go what was held, or take back that something is to be held."""
        self._drive_debug(name, "resume held", "remove_break held")

    def _drive_debug(self, name, *commands):
        for command in commands:
            said = self._ask_monitor("human-monitor-command", **{"command-line": f'qemu-io {name}-drive "{command}"'})
            # It says in words what it could not do; that nothing is held, or awaited any more, is no fault.
            if said.strip() and command.startswith("break"):
                raise LabError(f"{command} on {self.name}: {said.strip()}")

    def kill(self):
        """Cut the power: the machine is gone at once, and nothing is written back."""
        self._machine.kill()
        self._machine.wait()
        self.state = "killed"

    def shutdown(self, wait=True):
        """Ask the guest to power off; with `wait`, make sure that the machine is gone."""
        if self._machine.poll() is None:
            try:
                self.send("shutdown")
            except LabError:
                pass
        if wait:
            self.finish(5)

    def finish(self, seconds):
        """Give the machine that long to end by itself, then cut the power."""
        try:
            self._machine.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        if self._machine.poll() is None:
            self.kill()
        self.state = "off"
        self._control.close()
        self._monitor.close()

    # The line to the guest's agent

    def send(self, line):
        """Send one request to the agent."""
        with self._lock:
            try:
                self._control.sendall(line.encode() + b"\n")
            except OSError as error:
                self.check_alive("when it was spoken to")
                raise LabError(f"The line to {self.name} is broken: {error}.") from error

    def pump(self, seconds):
        """Take what the agent has said, waiting up to `seconds` for something."""
        if seconds and not select.select([self._control], [], [], seconds)[0]:
            return
        with self._lock:
            try:
                data = self._control.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data and seconds:
                time.sleep(min(seconds, 0.05))      # the line is dead: do not spin on it
            *lines, self._received = (self._received + data).split(b"\n")
            for line in lines:
                self._heard(line.decode(errors="replace").strip())

    def _heard(self, line):
        # All else ("taken 1", "exit 1") only says that there is news in the exchange directory.
        if line in ("ready", "failed"):
            self.state = line

    @property
    def died_at_start(self):
        """Whether the machine ended before the guest's set-up began, and not by a refusal of QEMU.

        A kernel that panics ends QEMU with code 0; bad arguments end it with 1.
        """
        return self._machine.poll() not in (None, 1) and not (self.exchange / "setup.out").exists()

    def check_alive(self, when):
        """Raise LabError if the machine has ended."""
        if self._machine.poll() is None:
            return
        if self.state in ("killed", "off"):
            raise LabError(f"The host {self.name} was {self.state} {when}.")
        raise LabError(f"The host {self.name} stopped {when} (QEMU ended with code "
                       f"{self._machine.returncode}).\n" + self.console_hint())

    def console_hint(self):
        """The last lines of the guest's console and of QEMU's complaints, for an error message."""
        lines = []
        for title, file in (("console", self.console_log), ("QEMU", self.directory / "qemu.log"),
                            ("set-up", self.exchange / "setup.out")):
            text = file.read_text(errors="replace") if file.exists() else ""
            # Firmware draws on the console: its control sequences help nobody.
            text = re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]|\x1bc|\r", "", text)
            tail = [line for line in text.splitlines()
                    if line.strip() and "TCG doesn't support requested feature" not in line][-12:]
            if tail:
                lines += [f"Last lines of {title} of {self.name}:"] + ["    " + x for x in tail]
        return "\n".join(lines) or f"The console of {self.name} stayed empty."

    # The machine's monitor

    def _ask_monitor(self, command, **arguments):
        """Run one command of QEMU's machine protocol; what it answered."""
        self.check_alive(f"before {command}")
        with self._lock:
            self._monitor.settimeout(10)
            with self._monitor.makefile("rw") as monitor:
                for request in ({"execute": "qmp_capabilities"},
                                {"execute": command, "arguments": arguments}):
                    monitor.write(json.dumps(request) + "\n")
                    monitor.flush()
                    answer = self._answer(monitor)
            # Every later time the first request is refused, as it has been made already.
            if "error" in answer:
                raise LabError(f"{command} on {self.name}: {answer['error']['desc']}")
            return answer["return"]

    @staticmethod
    def _answer(monitor):
        """The next answer; greetings and events come in between."""
        while True:
            answer = json.loads(monitor.readline())
            if "return" in answer or "error" in answer:
                return answer
