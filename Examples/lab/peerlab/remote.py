# SPDX-License-Identifier: Apache-2.0
"""`lab exec`: commands from other terminals for the hosts of a running `lab up`.

`lab up` listens on a socket in the cache. One connection is one command: a line of JSON that asks,
then lines with output and at last the code. A client that goes away takes its command along.
"""
import base64
import contextlib
import json
import socket
import threading

from . import cache
from .errors import LabError


def _path():
    return cache.lab_cache() / "up.sock"


@contextlib.contextmanager
def endpoint():
    """The listening socket of this `lab up`; there is one for each cache."""
    path = _path()
    with cache.locked("up", wait=False) as alone, socket.socket(socket.AF_UNIX) as server:
        if not alone:
            raise LabError("Another `lab up` is running with this cache; end it first.")
        path.unlink(missing_ok=True)
        # A socket's path has room for 107 bytes only: bind and connect from its directory.
        with contextlib.chdir(path.parent):
            server.bind(path.name)
        path.chmod(0o600)
        try:
            yield server
        finally:
            path.unlink(missing_ok=True)


def serve(server, hosts):
    """Answer on the endpoint until a signal ends us."""
    by_name = {host.name: host for host in hosts}
    server.listen()
    while True:
        client = server.accept()[0]
        threading.Thread(target=_answer, args=(client, by_name), daemon=True).start()


def _answer(client, hosts):
    with client, client.makefile("r") as lines:
        def tell(**message):
            client.sendall(json.dumps(message).encode() + b"\n")
        try:
            asked = json.loads(lines.readline())
            if asked["host"] not in hosts:
                tell(error=f"There is no host {asked['host']!r}; there are: {', '.join(hosts)}.")
                return
            process = hosts[asked["host"]].start(asked["words"])
            threading.Thread(target=_watch, args=(lines, process), daemon=True).start()
            result = process.wait_raw(on_output=lambda stream, data: tell(
                stream=stream, data=base64.b64encode(data).decode()))
            tell(code=result.code)
        except LabError as error:
            tell(error=str(error))
        except (OSError, ValueError, KeyError):
            pass        # a client that is gone, or was none


def _watch(lines, process):
    """Interrupt the command when its client goes away; the client says nothing more otherwise."""
    try:
        lines.readline()
        if process.running:
            process.signal("INT")
    except (OSError, ValueError, LabError):
        pass        # the command, the line or the host has ended already


def execute(host, words, on_output):
    """Run `words` on `host` of the running `lab up` and return the code."""
    with socket.socket(socket.AF_UNIX) as line:
        try:
            with contextlib.chdir(_path().parent):
                line.connect(_path().name)
        except OSError as error:
            raise LabError("No `lab up` is running; start one in another terminal.") from error
        line.sendall(json.dumps({"host": host, "words": words}).encode() + b"\n")
        with line.makefile("r") as answers:
            for answer in map(json.loads, answers):
                if "error" in answer:
                    raise LabError(answer["error"])
                if "code" in answer:
                    return answer["code"]
                on_output(answer["stream"], base64.b64decode(answer["data"]))
    raise LabError("The running `lab up` has ended.")
