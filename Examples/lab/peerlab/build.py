# SPDX-License-Identifier: Apache-2.0
"""Build the project's programs outside of the checkout, so that Ctrl-C leaves nothing half-done."""
import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys

from . import cache, private
from .sandbox import die_with_parent
from .errors import LabError
from .mounts import CHECKOUT


# How everything is built that is installed or measured: no Swift runtime to find, hardened, and no
# search path for libraries in it.
RELEASE = ["-c", "release", "--static-swift-stdlib", "--disable-local-rpath",
           "--toolset", str(CHECKOUT / "Packaging" / "hardening.json")]


def scratch():
    """Where this checkout's build products live: a directory of the cache, one per checkout."""
    name = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]
    path = private.directory(private.directory(cache.cache_root() / "build") / name)
    (path / "checkout").write_text(f"{CHECKOUT}\n")
    return path


def sweep():
    """Delete the build products of checkouts that are gone."""
    for origin in (cache.cache_root() / "build").glob("*/checkout"):
        with contextlib.suppress(OSError):
            if not os.path.isdir(origin.read_text().strip()):
                cache.remove(origin.parent)


def programs(*products, progress=None):
    """Build executables, with Swift's runtime inside them; returns the directory they are in."""
    sweep()
    # A tree of their own: the tests build with other settings, and would undo these each time.
    path = scratch() / "release"
    for product in products:
        swift(["build", *RELEASE, "--product", product],
              path, progress, f"building {product}")
    return path / "release"


def swift(arguments, scratch_path, progress=None, what="building", on_line=None, check=True, on_start=None):
    """Run the Swift package manager on this checkout, in a session of its own; returns (exit code, output).

    `on_start` gets its process identifier, `on_line` each line that it prints.
    """
    command = ["swift", *arguments, "--package-path", str(CHECKOUT),
               "--scratch-path", str(scratch_path)]
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, preexec_fn=die_with_parent, text=True, errors="replace")
    lines = []
    if on_start:
        on_start(child.pid)
    try:
        for line in child.stdout:
            lines.append(line.rstrip("\n"))
            if on_line:
                on_line(lines[-1])
            _show(lines[-1], what, progress)
    except BaseException:
        # The compiler's processes are in the child's session: all of them go.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")
    output = "\n".join(lines)
    if child.wait() != 0 and check:
        raise LabError(f"{what} failed (swift {' '.join(arguments)}):\n" + _errors(lines))
    return child.returncode, output


def _show(line, what, progress):
    """One line for people: that a build is going on, and on a terminal how far it is."""
    step = re.match(r"\[(\d+)/(\d+)\]", line)
    if not step:
        return
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{what}: {step[1]} of {step[2]}")
    elif progress and step[1] == "1" and int(step[2]) > 20:
        progress(f"{what}; the first time takes some minutes")


def _errors(lines):
    found = [line for line in lines if "error:" in line] or lines[-15:]
    return "\n".join("    " + line for line in found[:15])
