# SPDX-License-Identifier: Apache-2.0
"""What a lab is made from, fetched when it is not in the cache yet."""
import os

from . import cache, unchecked
from .errors import LabError
from .guestroot import fetch_root, guest_root
from .kernel import SUITES, check_name, fetch_kernel, kernel


def assets(names, progress):
    """The guest root, and the kernels `names` as a dictionary; fetches what is missing."""
    root, kernels = guest_root(), {name: kernel(name) for name in names}
    if root is None or None in kernels.values():
        fetch(names, progress)
        root, kernels = guest_root(), {name: kernel(name) for name in names}
    return root, kernels


def fetch(names, progress, refresh=False):
    """Fill the cache with the guest root and the kernels `names`; `refresh`: newer ones too."""
    if os.geteuid() != 0:
        raise LabError("Making the guest's root needs the rights of root; run this with sudo.")
    for name in names:
        check_name(name)
    with cache.building(progress):
        root = fetch_root(progress, refresh)
        for name in names:
            if name in SUITES:
                fetch_kernel(name, root, progress, refresh)
    if unchecked.NAME in names:
        unchecked.build(progress, lambda: kernel(unchecked.NAME), refresh)
