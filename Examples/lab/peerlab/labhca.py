# SPDX-License-Identifier: Apache-2.0
"""The lab HCA: the kernel module and the libibverbs provider of ../labhca, for a guest."""
import shutil
from pathlib import Path

from . import modules, unchecked
from .errors import LabError

_KERNELS = ["new", unchecked.NAME]
_SOURCE = Path(__file__).resolve().parents[1] / "labhca"


def build(kernel_name, progress):
    """The files that a guest needs: the module, and the provider under libibverbs' name for it."""
    if kernel_name not in _KERNELS:
        raise LabError(f"The lab HCA was not tried on the kernel {kernel_name!r}: use one of {', '.join(_KERNELS)}.")
    module = modules.module(_SOURCE, kernel_name, progress)
    made = modules.made(_SOURCE / "liblabhca", ["make"], ["liblabhca.so", "name"], kernel_name,
                        progress)
    return {module.name: module, (made / "name").read_text().strip(): made / "liblabhca.so"}


def put(kernel_name, directory, progress):
    """Copy those files to `directory`: the cache may drop its own while a guest runs."""
    directory.mkdir()
    for name, path in build(kernel_name, progress).items():
        shutil.copy(path, directory / name)
