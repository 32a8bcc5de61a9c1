# SPDX-License-Identifier: Apache-2.0
"""What tests do with the machines of a setting: serve, put, get, and look from outside."""
import contextlib
import re
import shutil
import tempfile
import time
from pathlib import Path

from peerlab import LabError

from checks import check, equal, noise, objects, probed
from registry import Failure

PORT = 18515


@contextlib.contextmanager
def scratch_directory():
    """A directory that we and the guests can write to, at the same path."""
    path = Path(tempfile.mkdtemp(prefix="peermr-test-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Bench:
    """The machines, the programs, and a record of what was run for a test that fails."""

    def __init__(self, hosts, programs, scratch):
        self.client, self.server = hosts[0], hosts[-1]
        self.hosts = hosts
        self.scratch = scratch
        self.program = str(programs / "nic-to-nvme")
        self.hostile = str(programs / "hostile-client")
        self.pong = str(programs / "ping-pong")
        self.probe = str(programs / "memory-probe")
        self.tool = str(programs / "peermr")
        self.programs = programs
        self.libraries = programs / "lib"
        self.image = next(iter(self.server.drives.values()), None)
        self._record = []
        self._processes = []
        self._undo = []
        self._bdf = None

    # Commands

    def start(self, host, command, env=None):
        """Start a command on a host; it does not outlive the test."""
        process = host.start(command, env)
        self._processes.append(process)
        self._record.append((host, command, process))
        return process

    def probed(self, *words, host=None, env=None, timeout=120):
        """Run memory-probe on the server or another host: what it found, by name."""
        return probed(self.run(host or self.server, [self.probe, *words], timeout, env))

    def run(self, host, command, timeout=120, env=None):
        """Run a command on a host to its end."""
        return self.start(host, command, env).wait(timeout)

    def must(self, host, command, timeout=120):
        """Run a command that only prepares something: it has to work. Returns what it printed."""
        result = self.run(host, command, timeout)
        if result.code != 0:
            raise Failure(f"{command!r} on {host.name} ended with code {result.code}")
        return result.stdout

    def later(self, undo):
        """Call `undo` when the test has ended, however it ends."""
        self._undo.append(undo)

    def told(self):
        """All commands of this test with what they printed."""
        lines = []
        for host, command, process in self._record[-30:]:
            words = command if isinstance(command, str) else " ".join(map(str, command))
            lines.append(f"{host.name}$ {words}")
            for text in (process.stdout(), process.stderr()):
                lines += ["  " + line for line in re.split(r"[\r\n]+", text[-3000:])]
            lines.append(f"  {self._end(process)}")
        return "\n".join(lines)

    @staticmethod
    def _end(process):
        try:
            return "it runs" if process.running else f"code {process.wait(1).code}"
        except LabError as error:
            return str(error)

    def tidy(self):
        """Leave nothing of a test to the next."""
        for process in self._processes:
            with contextlib.suppress(LabError):
                if process.running:
                    process.signal("KILL")
                    process.wait(10)
        for undo in reversed(self._undo):
            with contextlib.suppress(LabError, Failure):
                undo()
        self._record, self._processes, self._undo = [], [], []

    # The programs

    def serving(self, *options, allow=None, program=None):
        """The words of a server's command."""
        allowed = self.client.address if allow is None else allow
        words = [*(program or [self.program]), "serve", "--listen", self.server.address,
                 "--nvme", "/dev/nvme0n1", "--json", *options]
        return [str(word) for word in words + (["--allow", allowed] if allowed else [])]

    def refused_server(self, *options, program=None, env=None):
        """Run a server that is expected to end by itself at once."""
        return self.run(self.server, self.serving(*options, program=program), 30, env)

    @contextlib.contextmanager
    def serve(self, *options, allow=None, program=None, stops=True):
        """A server for the time of the `with` block, which must end it in an orderly way."""
        command = self.serving(*options, allow=allow, program=program)
        server = Server(self, self.start(self.server, command))
        server.process.wait_for(r"serving .* on ", 60)
        yield server
        if stops:
            server.stop()

    def transfer(self, verb, *words, host=None, timeout=60, program=None, port=PORT):
        """Run a client to its end."""
        command = [*(program or [self.program]), verb, "--connect", self.server.address,
                   "--port", port, *words]
        return self.run(host or self.client, [str(word) for word in command], timeout)

    def put(self, path, *options, **more):
        """Send a file; the outcome is JSON."""
        return self.transfer("put", path, "--json", *options, **more)

    def get(self, path, count, *options, **more):
        """Fetch bytes into a file; the outcome is JSON."""
        return self.transfer("get", "--length", count, "--output", path, "--json", *options, **more)

    # Files and the drive, from outside

    def file(self, name, data):
        """Write a file that guests see at the same path."""
        path = self.scratch / name
        path.write_bytes(data)
        return path

    def drive(self, offset, count):
        """Bytes of the drive, read from its image by us and not by the guest."""
        with open(self.image, "rb") as image:
            image.seek(offset)
            return image.read(count)

    def fill(self, offset, count, seed):
        """Put noise on the drive from outside, and return it."""
        data = noise(count, seed)
        with open(self.image, "r+b") as image:
            image.seek(offset)
            image.write(data)
        return data

    def bare_drive(self):
        """Wipe what a partition table or a file system could stand in, from outside."""
        with open(self.image, "r+b") as image:
            image.write(bytes(1 << 20))
            image.seek(-(1 << 20), 2)
            image.write(bytes(1 << 20))

    # What the kernel holds

    def p2pmem(self):
        """The directory of sysfs in the guest for the drive's p2pmem."""
        self._bdf = self._bdf or self.server.bdf("nvme0")
        return f"/sys/bus/pci/devices/{self._bdf}/p2pmem"

    def held(self):
        """What is held on the server's host: free p2pmem, RDMA objects, open files of a server."""
        text = self.must(self.server, f"""
            echo "p2pmem $(cat {self.p2pmem()}/available)"; rdma resource show
            echo "files $(ls /proc/$(pgrep -x nic-to-nvme)/fd 2>/dev/null | wc -l)" """)
        return {kind: int(count) for kind, count in re.findall(r"\b([a-z_0-9]+) (\d+)", text)}

    def regions(self, host=None):
        """How many memory regions the kernel has of any process; on the server when no host is named."""
        return len(re.findall(r"\bmrn \d+", self.must(host or self.server, "rdma resource show mr")))

    def free_p2pmem(self):
        """How much of the drive's p2pmem is free, in bytes."""
        return int(self.must(self.server, ["cat", self.p2pmem() + "/available"]))

    def settles(self, look, expected, what, seconds=40):
        """Fail unless `look()` gives `expected` within some seconds."""
        limit = time.monotonic() + seconds
        while (found := look()) != expected:
            if time.monotonic() > limit:
                raise Failure(f"{what} is {found!r} instead of {expected!r}, after {seconds} s too")
            time.sleep(0.3)


class Server:
    """A running `nic-to-nvme serve`."""

    def __init__(self, bench, process):
        self.bench = bench
        self.process = process

    def said(self):
        """What it has told people."""
        return self.process.stderr()

    def waits_for(self, pattern, seconds=30):
        """Wait until it has told people so."""
        return self.process.wait_for(pattern, seconds)

    @property
    def pool(self):
        """How many bytes the slots of all its clients take."""
        slots, kilobytes, clients = re.search(
            r"(\d+) slots of (\d+) KiB in .*? for (?:each of (\d+) clients at once|one client at a time)",
            self.said()).groups()
        return int(slots) * int(kilobytes) * int(clients or 1) << 10

    def transfers(self, count, seconds=15):
        """The JSON of its transfers, when there are as many."""
        self.bench.settles(lambda: len(objects(self.process.stdout())), count,
                           "the number of transfers that the server told of", seconds)
        return objects(self.process.stdout())

    def stop(self):
        """Interrupt it: it must end in an orderly way, and give back what it had."""
        check(self.process.running, "the server has ended by itself")
        self.process.signal("INT")
        result = self.process.wait(20)
        equal(result.code, 0, "the exit code of the interrupted server")
        check("stopping" in result.stderr, "the interrupted server did not say that it stops")
        objects(result.stdout)
