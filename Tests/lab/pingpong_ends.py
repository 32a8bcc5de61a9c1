# SPDX-License-Identifier: Apache-2.0
"""What tests of ping-pong do: start an end, wait until it listens, and look at how it ends."""
import contextlib
import re
import time

from checks import check, equal, in_order
from registry import Failure

# One packet, a page and a bit, and several packets of every size.
SIZES = (64, 4096, 9000)


class PingPong:
    """Ends of ping-pong on the one host of a setting."""

    def __init__(self, bench):
        self.bench = bench
        self.host = bench.server
        self.program = bench.pong

    @contextlib.contextmanager
    def serve(self, *options, port=18515):
        """A server for the time of the `with` block."""
        command = [self.program, "--json", *options]
        server = self.bench.start(self.host, [str(word) for word in command])
        server.wait_for(r"waiting for (a client|clients) on ", 60)
        try:
            yield server
        finally:
            self._end(server)

    @contextlib.contextmanager
    def listening(self, command, port):
        """Another program's server, from when it listens on a TCP port; without one it listens for RDMA."""
        server = self.bench.start(self.host, command)
        look = f"ss -ltnH 'sport = :{port}'" if port else "rdma resource show cm_id | grep -w LISTEN"
        limit = time.monotonic() + 30
        while not self.host.run(look + " | grep -q .").code == 0:
            if time.monotonic() > limit or not server.running:
                raise Failure(f"{command[0]} does not listen: {server.stdout()} {server.stderr()}")
        try:
            yield server
        finally:
            self._end(server)

    @staticmethod
    def _end(server):
        if server.running:
            server.signal("KILL")
            server.wait(20)

    def client(self, *options, host=None, timeout=120):
        """Run a client to its end; the figures are JSON."""
        command = [self.program, "--json", *options, host or self.host.address]
        return self.bench.run(self.host, [str(word) for word in command], timeout)

    def run(self, *options, timeout=60):
        """Run the program with these words to its end."""
        return self.bench.run(self.host, [str(word) for word in (self.program, *options)], timeout)

    @staticmethod
    def refused(result, *patterns):
        """Fail unless a program ended with code 1 and one sentence that says cause and remedy."""
        equal(result.code, 1, "the exit code")
        found = re.findall(r"^ping-pong: error: (.*)$", result.stderr, re.MULTILINE)
        equal(len(found), 1, "the number of lines 'ping-pong: error: …'")
        cause, _, remedy = found[0].partition("; ")
        check(len(cause) > 15 and len(remedy) > 10, f"cause or remedy is missing in: {found[0]}")
        in_order(found[0], *patterns)

    def held(self):
        """What the host's RDMA devices hold: counts of objects, without those of the kernel itself."""
        text = self.bench.must(self.host, "rdma resource show")
        return {kind: int(count) for kind, count in re.findall(r"\b(pd|cq|qp|cm_id|mr) (\d+)", text)}
