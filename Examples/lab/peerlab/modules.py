# SPDX-License-Identifier: Apache-2.0
"""Kernel modules, and other things in C, built to fit the lab's guests.

    path = modules.module(directory)        # DIRECTORY/Kbuild has `obj-m := NAME.o`

What was built is kept in the cache under a hash of its source and of the builder, so that it is
built once, for all checkouts.
"""
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from . import cache
from .builder import builder
from .errors import LabError

_KEPT = 8       # builds of one name, the last used ones


def module(directory, kernel_name="new", progress=None):
    """Build the one module of a source directory for a kernel of the lab; returns the .ko file."""
    name = _module_name(directory)
    return made(directory, ["make", "-C", "/lib/modules/{version}/build", "M=/mnt", "KCFLAGS=-Werror",
                            "modules"],
                [f"{name}.ko"], kernel_name, progress) / f"{name}.ko"


def made(directory, words, products, kernel_name="new", progress=None, tools=None):
    """Run the command `words` on a copy of `directory` in the builder, or where `tools` has it.

    The copy is the command's working directory, and `{version}` in a word is the kernel's. Returns
    a directory in the cache with the files `products`.
    """
    progress = progress or (lambda text: None)
    directory = Path(directory)
    tools = tools or builder(kernel_name, progress)
    words = [word.format(version=tools.version) for word in words]
    path = _shelf() / f"{directory.name}-{_key(directory, words, products, tools)}"
    if not path.exists():
        with cache.building(progress):
            if not path.exists():
                progress(f"building {', '.join(products)}")
                _make(directory, words, products, tools, path)
                _tidy(directory.name)
    os.utime(path)      # used just now, for _tidy
    return path


def _module_name(directory):
    kbuild = Path(directory) / "Kbuild"
    try:
        lines = [line.split() for line in kbuild.read_text().splitlines()]
    except OSError as error:
        raise LabError(f"{kbuild} cannot be read ({error.strerror}): a module's directory has "
                       "a Kbuild file with a line `obj-m := NAME.o`.") from error
    names = [words[2].removesuffix(".o") for words in lines
             if len(words) == 3 and words[0] == "obj-m"]
    if len(names) != 1:
        raise LabError(f"{kbuild} needs exactly one line `obj-m := NAME.o`.")
    return names[0]


def _shelf():
    path = cache.lab_cache() / "built"
    path.mkdir(exist_ok=True)
    return path


def _key(directory, words, products, tools):
    digest = hashlib.sha256()
    for part in (tools.recipe, *words, *products):
        digest.update(part.encode() + b"\0")
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(directory)).encode() + b"\0"
                      + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _make(directory, words, products, tools, path):
    """Build into a temporary directory beside `path`, and put it there by one rename."""
    with tempfile.TemporaryDirectory(prefix="tmp.built.", dir=cache.lab_cache()) as place:
        work, out = Path(place) / "work", Path(place) / "out"
        shutil.copytree(directory, work)
        out.mkdir()
        tools.run(work, words, f"building {directory.name}")
        for product in products:
            shutil.copy(work / product, out)
        os.sync()
        out.rename(path)


def _tidy(name):
    """Delete all but the last used builds of `name`. Needs the build lock."""
    builds = sorted(_shelf().glob(f"{name}-" + "[0-9a-f]" * 16), key=os.path.getmtime)
    for old in builds[:-_KEPT]:
        cache.remove(old)
