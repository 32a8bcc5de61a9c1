# SPDX-License-Identifier: Apache-2.0
"""The demo on this machine's own RDMA device and drive: the same programs, as two processes or on two machines."""
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import tempfile
from pathlib import Path

from peerlab import build, signals
from peerlab.sandbox import die_with_parent
from report import DemoError, assemble, digest, last_json, save, show


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(options):
    _check(options)
    with signals.orderly():
        programs = options.programs or build.programs("nic-to-nvme", progress=say)
        program = str(programs.absolute() / "nic-to-nvme")
        if options.role == "server":
            return _serve_only(program, options)
        with _payload(options) as payload:
            if options.role == "client":
                put, get, expected = _client(program, options.connect, payload, options.offset)
                served = {"put": {**put, "bytesHost": None}, "get": {**get, "bytesHost": None}}
                report = assemble([_name(), options.connect], put, get, served, expected,
                                  bool(get["verified"]), None, options.offset)
            else:
                report = _both(program, options, payload)
        if options.report:
            save(report, options.report)
        show(report)
        return 0 if report["verified"] else 1


def _check(options):
    wanted = {"both": ["nvme", "address"], "server": ["nvme", "address"], "client": ["connect"]}
    for name in wanted[options.role]:
        if not getattr(options, name):
            raise DemoError(f"--hardware with --role {options.role} needs --{name}: see "
                            "Examples/demo --help")
    if options.role == "client" and not options.file:
        raise DemoError("--hardware with --role client needs --file: name a file to send")


def _name():
    return os.uname().nodename


@contextlib.contextmanager
def _payload(options):
    """The file to send: the user's, or 4 MiB of random bytes."""
    if options.file:
        yield options.file
        return
    with tempfile.NamedTemporaryFile(prefix="peermr-demo-") as file:
        file.write(os.urandom(4 << 20))
        file.flush()
        yield Path(file.name)


def _server_command(program, options, count=None):
    command = [program, "serve", "--listen", options.address, "--nvme", options.nvme,
               "--memory", options.memory, "--json"]
    if count is not None:
        command += ["--offset", str(options.offset), "--length", str(count)]
    for address in options.allow:
        command += ["--allow", address]
    return command + (["--overwrite"] if options.overwrite else [])


def _serve_only(program, options):
    """Serve until Ctrl-C. The client names the offset, so the whole drive is offered."""
    child = subprocess.Popen(_server_command(program, options), preexec_fn=die_with_parent,
                             start_new_session=True)
    try:
        return child.wait()
    except SystemExit:
        child.send_signal(signal.SIGINT)
        return child.wait()


def _both(program, options, payload):
    """Server and client as two processes of this machine."""
    size = payload.stat().st_size
    count = (size + 511) // 512 * 512
    with _server(_server_command(program, options, count)) as server:
        put, get, expected = _client(program, options.address, payload, 0)
        output = server.stop()
    served = {name: last_json(output, name) for name in ("put", "get")}
    with open(options.nvme, "rb") as drive:
        os.posix_fadvise(drive.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    verified = bool(get["verified"]) and digest(options.nvme, options.offset, size) == expected
    report = assemble([_name()], put, get, served, expected, verified, None, options.offset)
    return {**report, "device": options.nvme}


def _client(program, server, payload, offset):
    expected = digest(payload)
    common = ["--connect", server, "--offset", str(offset), "--json"]
    put = _run([program, "put", *common, "--no-verify", str(payload)], "put")
    get = _run([program, "get", *common, "--length", str(payload.stat().st_size), "--sha256",
                expected], "get")
    return put, get, expected


def _run(command, operation):
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True,
                             preexec_fn=die_with_parent)
    try:
        output = child.stdout.read()
    except SystemExit:
        child.send_signal(signal.SIGINT)
        child.wait()
        raise
    if child.wait() != 0:
        raise DemoError(f"{operation} failed with code {child.returncode}: see above")
    return last_json(output, operation)


class _server:
    """The serving process: its words are shown, its JSON is kept."""

    def __init__(self, command):
        self._child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, preexec_fn=die_with_parent)
        self._ready = threading.Event()
        self._is_serving = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._child.stderr:
            sys.stderr.write(line)
            if re.match("nic-to-nvme: serving", line):
                self._is_serving = True
                self._ready.set()
        self._ready.set()

    def __enter__(self):
        self._ready.wait(60)
        if not self._is_serving:
            self.__exit__()
            raise DemoError("the server did not start: see above")
        return self

    def stop(self):
        self._child.send_signal(signal.SIGINT)
        output = self._child.stdout.read()
        if self._child.wait() != 0:
            raise DemoError(f"the server ended with code {self._child.returncode}: see above")
        return output

    def __exit__(self, *_):
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGINT)
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._reader.join(2)
