# SPDX-License-Identifier: Apache-2.0
"""The list of host bridges in this project against the images of the lab's kernels."""
import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent / "Examples" / "lab"))

from peerlab import build  # noqa: E402
from peerlab.kernel import NAMES, kernel  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", help="not used: the test is one of the package's")
    parser.add_argument("--kernel", choices=NAMES, action="append",
                        help="only this kernel of the lab's cache; may be repeated")
    options = parser.parse_args()
    found = {name: kernel(name) for name in options.kernel or NAMES}
    missing = [name for name, entry in found.items() if entry is None]
    if missing:
        print(f"FAIL kernels: the lab has no kernel {', '.join(missing)}; fetch it with lab fetch --kernel")
        print("0 passed, 1 failed")
        return 1
    images = ":".join(f"{entry.version}={entry.image}" for entry in found.values())
    done = subprocess.run(
        ["swift", "test", "--disable-xctest", "--skip-build", "--package-path", str(_HERE.parent), "--scratch-path",
         str(build.scratch() / "debug"), "--filter", "LabKernelTests"],
        env={**os.environ, "PEERMR_LAB_KERNELS": images}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    figures = [line for line in done.stdout.splitlines() if line.startswith("figure: ")]
    print("\n".join(figures))
    passed = done.returncode == 0 and len(figures) == len(found)
    print("ok   kernels" if passed else "FAIL kernels: see below")
    if not passed:
        print("\n".join("     | " + line for line in done.stdout.splitlines()[-40:]))
    print(f"{len(figures) if passed else 0} passed, {0 if passed else 1} failed")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
