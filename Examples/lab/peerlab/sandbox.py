# SPDX-License-Identifier: Apache-2.0
"""Run a set-up program in mount and process namespaces of its own, so that it leaves nothing behind.

When it ends, or this process does, even by SIGKILL, the kernel ends every process in it and
removes its mounts.
"""
import ctypes
import os
import re
import shutil
import signal
import subprocess

from .errors import LabError

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def die_with_parent():
    """For `preexec_fn`: SIGKILL this child when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run_sandboxed(argv, what, env=None, progress=None, network=True):
    """Run `argv` confined and return its output; `what` names the work in the error message.

    The program gets a session of its own, so that Ctrl-C reaches us alone and we end it whole.
    `network`: it fetches things, which is what most often fails.
    """
    unshare = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork",
               "--kill-child=SIGKILL"]
    try:
        child = subprocess.Popen(
            unshare + argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
            start_new_session=True, preexec_fn=die_with_parent, text=True, errors="replace")
    except FileNotFoundError as error:
        raise LabError(f"{what} failed: unshare is missing; install util-linux.") from error
    lines = []
    try:
        for line in child.stdout:
            lines.append(line)
            if progress:
                progress(line.rstrip())
    except BaseException:
        child.kill()
        child.stdout.read()     # ends when the last process of the namespace has
        child.wait()
        raise
    if child.wait() != 0:
        raise LabError(f"{what} failed with code {child.returncode}. Its last lines:\n"
                       + "".join("    " + line for line in lines[-15:]).rstrip()
                       + _hint("".join(lines[-15:]), network))
    return "".join(lines)


# What debootstrap, apt and wget say when the archive does not answer, or not with what was asked for.
_OUT_OF_REACH = re.compile(
    r"Could not resolve|Temporary failure|[Uu]nable to (connect|fetch|resolve)|Could not connect|"
    r"Failed to fetch|Failed getting release file|Couldn't (download|retrieve)|[Tt]imed out|"
    r"Network is unreachable|Connection (refused|reset|failed)|ERROR \d\d\d|\b[45]\d\d  \w")


def _hint(text, network):
    """The remedy that the output of a failed set-up program points at."""
    if "cannot change root filesystem propagation" in text:
        return ("\nThe root directory is no mount point, as in a plain chroot: bind it to itself before the "
                "chroot (mount --bind DIR DIR), or use a container.")
    if "unshare: " in text or "Operation not permitted" in text:
        return ("\nThe lab needs the right to make namespaces and mounts: run it as root, and in "
                "a container with --privileged.")
    if "No space left" in text:
        return "\nFree some space, or name another place for the cache in PEERMR_CACHE."
    if not network or not _OUT_OF_REACH.search(text):
        return ""
    return ("\nThe network, or the archive's mirror, is out of reach: try again, or name "
            "another mirror in PEERMR_LAB_MIRROR.")


def require(program, package):
    """Say which package is missing, rather than that a file was not found."""
    if shutil.which(program) is None:
        raise LabError(f"{program} is not installed; install it with: apt-get install {package}")
