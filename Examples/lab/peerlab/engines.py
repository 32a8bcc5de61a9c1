# SPDX-License-Identifier: Apache-2.0
"""The guest's root with what RDMA applications sit on: UCX, Open MPI, libfabric, Mooncake, and a compiler for them.

fio and perftest are in the guest's root as it is. What is Debian's comes by apt, what is PyPI's by pip, whose
requirements (setup/engines.txt) hold the hash of each file.
"""
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from . import cache, modules
from .errors import LabError
from .fetch import assets
from .guestroot import copy_root, in_root
from .mirror import proxy_environment
from .sandbox import run_sandboxed

# libcurl4t64 and libnuma1 are for Mooncake, whose wheel has its other libraries in it.
PACKAGES = """
    gcc make libc6-dev libibverbs-dev ucx-utils libucx-dev openmpi-bin libopenmpi-dev libfabric-bin libfabric-dev
    python3 python3-pyverbs libcurl4t64 libnuma1
""".split()

# The guest's Python, and the oldest C library that wheels for it may ask for.
_PYTHON, _PLATFORM = "3.13", "manylinux_2_28_x86_64"
_PLACE = f"usr/local/lib/python{_PYTHON}/dist-packages"
_WHEELS = Path(__file__).parent / "setup" / "engines.txt"

_PROGRAMS = Path(__file__).resolve().parents[2] / "engines"
_COMPILED = ["ucx-move", "fabric-move", "fabric-dmabuf", "mpi-move"]
_SCRIPTS = ["p2pmem-pages", "perftest/perftest-move", "fio/fio-move", "mooncake/mooncake-move"]

# Counts the ways of making the root: raised when an old one in the cache no longer fits.
_FORM = 1


class EnginesRoot:
    """The root in the cache: for guests, and to compile programs in that run in them."""

    version = ""        # no kernel's headers are in it

    def __init__(self, path, about):
        self.tree = path / "tree"
        self.recipe = about["recipe"]

    def run(self, work, words, what):
        """Run a command in the root, with the directory `work` as its /mnt, and in that."""
        return in_root(self.tree, work, ["run", *words], what, network=False)


def engines_root(progress=None):
    """The root with the engines; made when the cache lacks it."""
    progress = progress or (lambda text: None)
    root, _ = assets([], progress)
    recipe = _recipe(root)
    if found := _current(recipe):
        return found
    with cache.building(progress):
        # The last holder of the lock may have made it.
        if found := _current(recipe):
            return found
        with cache.generation("engines", {"recipe": recipe}) as work:
            _build(work, root, progress)
    return _current(recipe)


def put(directory, progress):
    """Copy the programs of Examples/engines to `directory`, for a guest; compiled when they are not yet."""
    made = modules.made(_PROGRAMS, ["make", "OUT=/mnt"], _COMPILED, progress=progress, tools=engines_root(progress))
    directory.mkdir()
    for file in [*(made / name for name in _COMPILED), *(_PROGRAMS / name for name in _SCRIPTS)]:
        shutil.copy(file, directory / file.name)


def current():
    """The root with the engines in the cache, whether or not it is the newest; None when there is none."""
    path, _ = cache.current("engines")
    return path / "tree" if path else None


def _recipe(root):
    """What it is made from. The root's directory is another one when the root is."""
    text = " ".join([str(_FORM), root.parent.name, _PYTHON, *PACKAGES, _WHEELS.read_text()])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _current(recipe):
    path, about = cache.current("engines")
    return EnginesRoot(path, about) if path and about.get("recipe") == recipe else None


def _build(work, root, progress):
    progress("guest root with engines: UCX, Open MPI, libfabric, Mooncake and a compiler (about a minute)")
    tree = work / "tree"
    # First what is most likely to fail.
    with tempfile.TemporaryDirectory(prefix="tmp.wheels.", dir=work) as wheels:
        _download(wheels)
        copy_root(root, tree)
        in_root(tree, tree / "var" / "tmp", ["install", *PACKAGES], "apt in the guest root with engines")
        for wheel in Path(wheels).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(tree / _PLACE)


def _download(directory):
    """Fetch the wheels by pip of this machine, which knows the way to an index."""
    words = [_python_with_pip(), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--only-binary=:all:", f"--python-version={_PYTHON}", "--implementation=cp",
             f"--abi=cp{_PYTHON.replace('.', '')}", f"--platform={_PLATFORM}", "--require-hashes", "--dest", directory,
             "--requirement", str(_WHEELS)]
    try:
        run_sandboxed(words, "pip", env=proxy_environment(), network=False)
    except LabError as error:
        raise LabError(f"{error}\nThe engines of {_WHEELS.name} could not be fetched: see whether pip of this machine "
                       "reaches an index, and try again.") from error


def _python_with_pip():
    """A Python of this machine that has pip."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True)
            return python
        except (OSError, subprocess.CalledProcessError):
            pass
    raise LabError("pip is not installed; install it with: apt-get install python3-pip")
