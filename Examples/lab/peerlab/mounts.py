# SPDX-License-Identifier: Apache-2.0
"""Which of our directories the guests see, each at its own path."""
import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

from .errors import LabError

CHECKOUT = Path(__file__).resolve().parents[3]

# What a guest has of its own: a share there would hide it.
_RESERVED = {"/", "/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin",
             "/sys", "/tmp", "/usr", "/usr/bin", "/usr/lib", "/usr/sbin", "/var"}


def shares(spec):
    """The shares of `spec` as (tag, path, writable), none inside another of its kind."""
    readable = [CHECKOUT, *spec.share]
    if runtime := swift_runtime():
        readable.append(runtime)
    found = _outermost(readable)
    writable = _outermost(spec.writable)
    return ([(f"share{index}", path, False) for index, path in enumerate(found)]
            + [(f"writable{index}", path, True) for index, path in enumerate(writable)])


def _outermost(paths):
    paths = sorted({Path(os.path.abspath(path)) for path in paths})
    for path in paths:
        if not path.is_dir():
            raise LabError(f"{path} cannot be shared with a guest: there is no such directory.")
        if str(path) in _RESERVED:
            raise LabError(f"{path} cannot be shared with a guest: it has one of its own there.")
    return [path for path in paths if not any(other in path.parents for other in paths)]


@functools.cache
def swift_runtime():
    """The directory of the Swift runtime's libraries, which programs look for at this path."""
    if not (swift := shutil.which("swift")):
        return None
    answer = subprocess.run([swift, "-print-target-info"], capture_output=True, text=True,
                            check=False)
    try:
        return Path(json.loads(answer.stdout)["paths"]["runtimeResourcePath"])
    except (ValueError, KeyError):
        return None
