# SPDX-License-Identifier: Apache-2.0
"""The builder: a copy of the guest's root with a compiler, for what must fit the guest exactly.

It has gcc and make, the headers of one of the lab's kernels, libibverbs' headers, and the source
package of the guest's rdma-core, whose private headers no binary package has. There is one for
each kernel; the guest's root itself stays small.
"""
import hashlib
import shutil

from . import cache
from .fetch import assets
from .guestroot import SUITE, copy_root, in_root
from .kernel import SUITES

# libelf1t64 is for objtool, which a module's build runs.
PACKAGES = "gcc make libc6-dev libelf1t64 libibverbs-dev".split()
SOURCES = ["rdma-core"]     # unpacked in /usr/src/NAME, at the version of the guest

# Counts the ways of making the builder: raised when an old one in the cache no longer fits.
_FORM = 1


class Builder:
    """A builder in the cache."""

    def __init__(self, path, about):
        self.tree = path / "tree"
        self.recipe = about["recipe"]
        self.version = about["version"]

    def run(self, work, words, what):
        """Run a command in the builder, with the directory `work` as its /mnt, and in that."""
        return in_root(self.tree, work, ["run", *words], what, network=False)


def builder(kernel_name, progress):
    """The builder for the kernel `kernel_name`; fetches what is missing."""
    root, kernels = assets([kernel_name], progress)
    kernel = kernels[kernel_name]
    recipe = _recipe(root, kernel)
    if found := _current(kernel_name, recipe):
        return found
    with cache.building(progress):
        # The last holder of the lock may have made it.
        if found := _current(kernel_name, recipe):
            return found
        about = {"recipe": recipe, "version": kernel.version}
        with cache.generation(_name(kernel_name), about) as work:
            _build(work, root, kernel, SUITES.get(kernel_name, SUITE), progress)
    return _current(kernel_name, recipe)


def _name(kernel_name):
    return f"builder-{kernel_name}"


def _recipe(root, kernel):
    """What the builder is made from. The root's directory is another one when the root is."""
    text = " ".join([str(_FORM), root.parent.name, kernel.packages, *PACKAGES, *SOURCES])
    if kernel.headers:
        text += kernel.path.name
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _current(kernel_name, recipe):
    path, about = cache.current(_name(kernel_name))
    return Builder(path, about) if path and about.get("recipe") == recipe else None


def _build(work, root, kernel, suite, progress):
    progress(f"builder: a compiler and the headers of kernel {kernel.version} (about a minute)")
    tree = work / "tree"
    copy_root(root, tree)
    place = tree / "var" / "tmp"
    wanted = [*PACKAGES]
    if kernel.headers is None:
        # The very version of the kernel: a module is loaded by no other.
        wanted.append(f"linux-headers-{kernel.version}={_package_version(kernel)}")
    in_root(tree, place, ["toolchain", suite if suite != SUITE else "", *wanted],
            "apt in the builder")
    if kernel.headers:
        shutil.copytree(kernel.headers, tree / "usr" / "lib" / "modules" / kernel.version / "build", symlinks=True)
    for source in SOURCES:
        in_root(tree, place, ["source", source, "libibverbs1"], f"fetching the source of {source}")


def _package_version(kernel):
    return kernel.packages.split()[0].partition("=")[2]
