# SPDX-License-Identifier: Apache-2.0
"""C and C++ programs of plain verbs on what is installed, compiled by what pkg-config says, on a real kernel."""
import re
import shutil
from pathlib import Path

from checks import check, equal, here
from hcatool import DEVICE, nothing_is_left, vfio
from registry import HCA, PAIR, test

_ROOT = Path(__file__).resolve().parents[2]
_LANGUAGES = {"c": ["gcc", "-std=gnu99"], "c++": ["g++", "-x", "c++", "-std=gnu++11"]}


def _installed(bench):
    """A prefix that everything is installed under, which the guests see at the same path."""
    prefix = bench.scratch / "installed"
    if not prefix.exists():
        here([_ROOT / "Packaging" / "install", "--prefix", prefix, "--programs", Path(bench.tool).parent])
    return prefix


def _compiled(bench, source, language):
    """A program, compiled and linked by what pkg-config says and nothing else."""
    prefix = _installed(bench)
    flags = here(["pkg-config", "--cflags", "--libs", "peermr"],
                  {"PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig"}).split()
    check(not any("swift" in flag.lower() for flag in flags), f"pkg-config names Swift: {flags}")
    program = bench.scratch / f"{source.stem}-{language}"
    here([*_LANGUAGES[language], "-O2", "-Wall", "-Wextra", "-Werror", source, "-x", "none", "-o", program, *flags])
    return program


def _programs(bench, source, arguments, expected):
    """Run a program in both languages on the server; nothing may be left of its regions and of its memory."""
    guest, libraries = bench.server, {"LD_LIBRARY_PATH": f"{_installed(bench)}/lib"}
    before = (bench.regions(), bench.free_p2pmem())
    for language in _LANGUAGES:
        program = _compiled(bench, source, language)
        result = bench.run(guest, [program, *arguments], env=libraries)
        equal((result.code, result.stderr), (0, ""), f"the end of the program in {language}")
        for line in expected:
            check(re.search(line, result.stdout), f"{line!r} is not in what it said: {result.stdout!r}")
        equal((bench.regions(), bench.free_p2pmem()), before, "the regions and the free p2pmem afterwards")


@test(PAIR)
def plain_verbs(bench):
    """p2pmem of the library and of the program's own: bytes go through the ibv_mr by plain verbs and come back."""
    _programs(bench, Path(__file__).with_name("verbs_program.c"), ["rxe0", bench.server.bdf("nvme0")],
              ["ok allocated by the library", "ok mapped by the application", "ok leased from a cache"])


@test(PAIR)
def c_register(bench):
    """The example, made by its Makefile too, checks, registers and proves."""
    folder = bench.scratch / "c-register-made"
    shutil.copytree(_ROOT / "Examples" / "c-register", folder)
    here(["make", "-C", folder, "CFLAGS=-Wall -Wextra -pedantic -Werror"],
          {"PKG_CONFIG_PATH": f"{_installed(bench)}/lib/pkgconfig"})
    source = _ROOT / "Examples" / "c-register" / "c-register.c"
    _programs(bench, source, ["rxe0", bench.server.bdf("nvme0")], ["onDemand", "proof: .* of random bytes"])
    result = bench.run(bench.server, [bench.scratch / "c-register-c", "rxe0", "0000:00:1f.7"],
                       env={"LD_LIBRARY_PATH": f"{_installed(bench)}/lib"})
    equal(result.code, 1, "the exit code for a function that there is not")
    check("there is no PCI function" in result.stderr, f"it said {result.stderr!r}")


@test(HCA)
def memory_by_specification(bench):
    """A plain C program opens memory of each kind as the tool names it, registers all and a range, and proves it."""
    near, drive = vfio(bench, "near"), bench.server.bdf("near-drive")
    host = "provider none, exporter"
    expected = {f"vfio:{near}:2": f"dmaBuf, kind 3, owner 2, provider {near}, exporter vfio_pci_core, proof 1",
                f"vfio:{near}:2:64K:16K": f"dmaBuf, kind 3, owner 2, provider {near}, exporter vfio_pci_core, proof 1",
                f"p2pmem:{drive}:64K": f"onDemand, kind 2, owner 2, provider {drive}, exporter none, proof 1",
                "udmabuf:64K": f"dmaBuf, kind 3, owner 1, {host} udmabuf, proof 1",
                "heap:system:64K": f"dmaBuf, kind 3, owner 1, {host} system, proof 1",
                "host:64K": f"pinned, kind 1, owner 1, {host} none, proof 1"}
    wrong = {"vfio:0000:00:00.0:2": "BUSY", f"vfio:{near}:5": "NOT_FOUND",
             "host:none": "INVALID_ARGUMENT", f"p2pmem:{near}:64K": "NOT_FOUND", "heap:none:64K": "NOT_FOUND",
             "nic:4K": "NOT_SUPPORTED"}
    for language in _LANGUAGES:
        program = _compiled(bench, Path(__file__).with_name("memory_program.c"), language)
        result = bench.run(bench.server, [program, DEVICE, *expected, *wrong],
                           env={"LD_LIBRARY_PATH": f"{_installed(bench)}/lib"})
        said = dict(re.findall(r"^ok (\S+): \S+ (.*)$", result.stdout, re.MULTILINE))
        equal(said, expected, f"what the program in {language} said ({result.stdout}{result.stderr})")
        for specification, status in wrong.items():
            check(re.search(rf"^failed {re.escape(specification)}: PEERMR_({status}): .+", result.stdout, re.MULTILINE),
                  f"{specification}: {result.stdout}")
        equal(result.code, 1, "the exit code")
        nothing_is_left(bench)


@test(PAIR)
def no_toolchain(bench):
    """The guest is of a newer release than this machine, has no Swift, and lacks nothing that the library needs."""
    library = f"{_installed(bench)}/lib/libpeermr.so"
    version = {}
    for name, text in (("here", Path("/etc/os-release").read_text()),
                       ("guest", bench.must(bench.server, "cat /etc/os-release"))):
        found = re.search(r'^VERSION_ID="?(\d+)', text, re.MULTILINE)
        version[name] = (re.search(r"^ID=(.*)$", text, re.MULTILINE)[1], int(found[1]) if found else 0)
    print(f"     built on {version['here']}, run on {version['guest']}", flush=True)
    bench.must(bench.server, "! command -v swift && ! ls /usr/lib/swift")
    needed = bench.must(bench.server, ["ldd", library])
    check("not found" not in needed and "swift" not in needed.replace(library, ""), f"it needs {needed}")
    check("librdmacm" not in needed, f"it needs the connection manager: {needed}")
