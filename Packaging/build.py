# SPDX-License-Identifier: Apache-2.0
"""Builds what is installed, outside of the checkout, and prints the directory that holds it: programs and libraries."""
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
_ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_ROOT / "Examples" / "lab"))

from peerlab import LabError, build, signals     # noqa: E402

_PROGRAMS = ["peermr", "ping-pong", "nic-to-nvme"]


def main():
    """Build, with progress on standard error."""
    def say(text):
        print(text, file=sys.stderr, flush=True)
    try:
        with signals.orderly():
            made = build.programs(*_PROGRAMS, "peermr-c", progress=say)
            for command in ([_ROOT / "Packaging" / "link-library", made, made / "lib"],
                            ["make", "-s", "-C", _ROOT / "Sources" / "Preload", f"OUT={made / 'lib'}"]):
                subprocess.run(command, check=True, stdout=sys.stderr)
    except (LabError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
    print(made)


main()
