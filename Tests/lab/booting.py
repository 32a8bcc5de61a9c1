# SPDX-License-Identifier: Apache-2.0
"""The lab itself: a guest that the emulator loses at its very start is booted once more, and no more often."""
import contextlib
import io
import shutil
from unittest import mock

from peerlab import HostSpec, Lab, LabError, qemu

from checks import check, equal, in_order
from registry import BARE, test

# Dies as QEMU does when a guest's kernel panics, so many times; then it is QEMU.
_STAND_IN = """#!/bin/sh
case $1 in --version) exec {qemu} --version ;; esac
echo start >> {starts}
[ $(wc -l < {starts}) -gt {deaths} ] && exec {qemu} "$@"
exit {code}
"""


def boot(bench, deaths, code=0):
    """Boot a host with a stand-in for QEMU: (how often it was started, what the lab said of it)."""
    program, starts = bench.scratch / "qemu", bench.scratch / "starts"
    program.write_text(_STAND_IN.format(qemu=shutil.which(qemu.PROGRAM), starts=starts, deaths=deaths, code=code))
    program.chmod(0o755)
    starts.write_text("")
    starts.chmod(0o666)     # what stands in for QEMU has no more rights than QEMU has
    said = io.StringIO()
    with mock.patch.object(qemu, "PROGRAM", str(program)), contextlib.redirect_stderr(said):
        try:
            with Lab() as lab:
                equal(lab.boot(HostSpec("mayfly"))[0].run("hostname").stdout, "mayfly\n", "the host's name")
        except LabError as error:
            said.write(f"error: {error}")
    return len(starts.read_text().splitlines()), said.getvalue()


@test(BARE)
def lost_at_the_start(bench):
    """A guest that ends before its set-up is booted once more, and the lab says so."""
    starts, said = boot(bench, deaths=1)
    equal(starts, 2, "how often QEMU was started")
    in_order(said, "The host mayfly stopped while it started", "once more")
    check("error" not in said, said)


@test(BARE)
def lost_twice(bench):
    """The second time it is an error; QEMU that refuses its arguments is not tried again."""
    starts, said = boot(bench, deaths=9)
    equal(starts, 2, "how often QEMU was started")
    in_order(said, "once more", "error: The host mayfly stopped while it started")
    starts, said = boot(bench, deaths=9, code=1)
    equal(starts, 1, "how often QEMU was started with bad arguments")
    in_order(said, "error: The host mayfly stopped while it started")
    check("once more" not in said, said)
