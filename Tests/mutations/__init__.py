# SPDX-License-Identifier: Apache-2.0
"""Small changes that break one promise each, for Tests/mutants: what is changed where, and which tests have to fail."""
import importlib
import pkgutil


def _all():
    for found in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name):
        if found.name != "mutation":
            yield from importlib.import_module(f"{__name__}.{found.name}").MUTATIONS


MUTATIONS = list(_all())
assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS), "two changes have the same name"
