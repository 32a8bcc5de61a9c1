# SPDX-License-Identifier: Apache-2.0
"""A command that runs in a guest, and what came of it."""
import codecs
import re
import time
from dataclasses import dataclass

from .errors import LabError

_STREAMS = {"stdout": "out", "stderr": "err"}       # and the endings of their files
_ASK_AGAIN_SECONDS = 5


@dataclass
class Result:
    """The end of a command. One that a signal ended has the code 128 + the signal's number."""

    code: int
    stdout: str
    stderr: str
    seconds: float


class Process:
    """A command in a guest. Its output lies in files that the guest writes and we read."""

    def __init__(self, host, number, title):
        self._host = host
        self._files = host.exchange / str(number)
        self._number = number
        self._title = title
        self._started = self._asked = time.monotonic()
        self._offsets = dict.fromkeys(_STREAMS, 0)
        self._result = None
        host.send(f"run {number}")

    @property
    def running(self):
        """Whether the command has not ended yet, as far as the guest has told."""
        return self._poll() is None

    def stdout(self):
        """What the command has written to its standard output so far."""
        return self._read("out").decode(errors="replace")

    def stderr(self):
        """What the command has written to its standard error so far."""
        return self._read("err").decode(errors="replace")

    def signal(self, name="TERM"):
        """Send a signal, such as INT, to the command and all that it has started."""
        self._host.send(f"signal {self._number} {name.removeprefix('SIG')}")

    def wait(self, timeout=None, on_output=None):
        """Wait for the end. `on_output(stream, text)` gets the output as it comes.

        `stream` is "stdout" or "stderr". When `timeout` seconds pass, the command is killed and
        LabError raised.
        """
        decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace")
                    for stream in _STREAMS}
        raw = on_output and (lambda stream, data: on_output(stream, decoders[stream].decode(data)))
        return self.wait_raw(timeout, raw)

    def wait_raw(self, timeout=None, on_output=None):
        """As `wait`, but `on_output(stream, data)` gets bytes."""
        limit = None if timeout is None else time.monotonic() + timeout
        while True:
            result = self._poll()
            if on_output:
                self._deliver(on_output)
            if result:
                return result
            if limit and time.monotonic() > limit:
                self.signal("KILL")
                raise LabError(f"{self._title!r} on {self._host.name} did not end within "
                               f"{timeout} s and was killed.{self._tail()}\n"
                               + self._host.console_hint())
            self._host.pump(0.05 if on_output else 0.25)

    def wait_for(self, pattern, timeout=30):
        """Wait until the output has the regular expression `pattern`; returns the match."""
        limit = time.monotonic() + timeout
        while True:
            ended = not self.running
            for text in (self.stdout(), self.stderr()):
                if match := re.search(pattern, text, re.MULTILINE):
                    return match
            if ended or time.monotonic() > limit:
                what = f"ended with code {self._result.code}" if ended else f"ran {timeout} s"
                raise LabError(f"{self._title!r} on {self._host.name} {what} and did not print "
                               f"{pattern!r}.{self._tail()}")
            self._host.pump(0.1)

    def _poll(self):
        """The result, if the command has ended; the file with the code is the truth."""
        if self._result:
            return self._result
        self._host.pump(0)
        code = self._read("code")
        if code.endswith(b"\n"):
            self._result = Result(int(code), self.stdout(), self.stderr(),
                                  time.monotonic() - self._started)
            return self._result
        self._host.check_alive(f"while it ran {self._title!r}")
        now = time.monotonic()
        if now > self._asked + _ASK_AGAIN_SECONDS:
            self._asked = now
            if not self._files.with_suffix(".taken").exists():
                self._host.send(f"run {self._number}")
        return None

    def _read(self, ending, offset=0):
        try:
            with open(self._files.with_suffix("." + ending), "rb") as file:
                file.seek(offset)
                return file.read()
        except FileNotFoundError:
            return b""

    def _deliver(self, on_output):
        for stream, offset in self._offsets.items():
            if data := self._read(_STREAMS[stream], offset):
                self._offsets[stream] += len(data)
                on_output(stream, data)

    def _tail(self):
        lines = (self.stdout() + self.stderr()).splitlines()[-10:]
        return " Its last lines:\n" + "\n".join("    " + line for line in lines) if lines else ""
