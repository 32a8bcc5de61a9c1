#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of what is installed, on this machine: the version, manual pages, files, and what compiles with them.

    Tests/packaging.py --programs DIR [--only WORD]

DIR holds the programs, and in lib the libraries, built. The packages themselves are tried in the lab (Tests/lab/packaging.py).
"""
import argparse
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
_HERE = Path(__file__).resolve().parent
ROOT = _HERE.parent
_PACKAGING = ROOT / "Packaging"
_HEADER = ROOT / "Sources" / "CPeerMR" / "include" / "peermr.h"
TOOLS = ["peermr", "ping-pong", "nic-to-nvme"]

sys.path.insert(0, str(_PACKAGING / "man"))
import functions            # noqa: E402
from hosttests import check, run, run_tests, test        # noqa: E402


class Bench:
    """Where things are."""

    def __init__(self, programs, work):
        self.programs, self.work = programs, work
        self._prefix = None

    @property
    def version(self):
        """The one version."""
        return (ROOT / "VERSION").read_text().strip()

    @property
    def prefix(self):
        """A prefix that all is installed under, once."""
        if not self._prefix:
            self._prefix = self.work / "prefix"
            run([_PACKAGING / "install", "--prefix", self._prefix, "--programs", self.programs])
        return self._prefix

    def package_environment(self):
        """What a user of an unusual prefix sets."""
        return {"PKG_CONFIG_PATH": f"{self.prefix}/lib/pkgconfig", "LD_LIBRARY_PATH": f"{self.prefix}/lib"}


@test
def one_version(bench):
    """VERSION, the header, the library, the tool and pkg-config say the same version."""
    header = _HEADER.read_text()
    numbers = [re.search(rf"^#define PEERMR_VERSION_{part} (\d+)$", header, re.MULTILINE)[1]
               for part in ("MAJOR", "MINOR", "PATCH")]
    check(".".join(numbers) == bench.version, f"peermr.h says {'.'.join(numbers)}, and VERSION {bench.version}")
    library = ctypes.CDLL(str(bench.programs / "lib" / "libpeermr.so"))
    library.peermr_version.restype = ctypes.c_char_p
    said = library.peermr_version().decode()
    check(said == bench.version, f"peermr_version() says {said}, and VERSION {bench.version}")
    said = run([bench.programs / "peermr", "--version"]).strip()
    check(said == f"peermr {bench.version}", f"peermr --version says {said!r}, and VERSION {bench.version}")
    said = run(["pkg-config", "--modversion", "peermr"], bench.package_environment()).strip()
    check(said == bench.version, f"pkg-config says {said}, and VERSION {bench.version}")


def _commands(command, path=()):
    """All commands of a dump of help: (path, names of its options)."""
    path = (*path, command["commandName"])
    yield path, [name for argument in command.get("arguments", []) if argument["kind"] != "positional"
                 for name in argument["names"] if argument["shouldDisplay"]]
    for inner in command.get("subcommands", []):
        if inner["commandName"] != "help":
            yield from _commands(inner, path)


def _sections(page):
    """The text of a manual page for each subcommand, by its words; all of it under ()."""
    sections = {(): page}
    for part in re.split(r"^\.S[sh] ", page, flags=re.MULTILINE)[1:]:
        heading = part.split("\n", maxsplit=1)[0]
        words = []
        for word in heading.split():
            if not re.fullmatch("[a-z]+", word):
                break
            words.append(word)
        if words:
            sections[tuple(words)] = ".Ss " + part
    return sections


@test
def hardened(bench):
    """What is installed binds at start, keeps its relocations read-only, and looks for libraries at no path of its own."""
    built = [bench.programs / tool for tool in TOOLS]
    built += [bench.programs / "lib" / name for name in ("libpeermr.so", "libpeermr-preload.so")]
    for path in built:
        dynamic, segments = run(["readelf", "-dW", path]), run(["readelf", "-lW", path])
        check(re.search(r"\(FLAGS_1\).*\bNOW\b", dynamic), f"{path.name} binds its symbols late")
        check("GNU_RELRO" in segments, f"{path.name} leaves its relocations writable")
        check(re.search(r"GNU_STACK .* RW ", segments), f"the stack of {path.name} is executable")
        check(path.suffix == ".so" or re.search(r"\(FLAGS_1\).*\bPIE\b", dynamic), f"{path.name} is not relocatable")
        # The preload library stands beside the library that it loads.
        paths = set(re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", dynamic))
        wanted = {"$ORIGIN"} if path.name == "libpeermr-preload.so" else set()
        check(paths == wanted, f"{path.name} looks for libraries in {paths}")
        symbols = run(["readelf", "-sW", "--dyn-syms", path])
        check("__stack_chk_fail" in symbols, f"no function of {path.name} checks its stack")


@test
def c_files_are_hardened(bench):
    """Every C file of the product is compiled with checked calls and the stack protector."""
    # What the package manager told its build system; the directory of the programs is a link of its making.
    manifest = next((path / "release.yaml" for path in bench.programs.parents if (path / "release.yaml").exists()), None)
    check(manifest, "no release.yaml is above the programs: they were not built by Packaging/build.py")
    commands = re.findall(r'^    args: (\[".*clang",.*\])$', manifest.read_text(), re.M)
    compiled = {}
    for words in map(json.loads, commands):
        for word in words:
            if word.startswith(f"{ROOT}/Sources/") and word.endswith(".c"):
                compiled[word] = words
    files = {str(path) for path in ROOT.glob("Sources/C*/*.c")}
    check(set(compiled) == files, f"C files that are not compiled, or not found: {files ^ set(compiled)}")
    for file, words in compiled.items():
        for flag in ("-O2", "-D_FORTIFY_SOURCE=3", "-fstack-protector-strong"):
            check(flag in words, f"{Path(file).name} is compiled without {flag}")


@test
def manual_pages_have_the_options(bench):
    """The pages of the programs have the options of each command, and no others."""
    for tool in TOOLS:
        page = (_PACKAGING / "man" / f"{tool}.1").read_text()
        dumped = json.loads(run([bench.programs / tool, "--experimental-dump-help"]))["command"]
        sections, known = _sections(page), {"generate-completion-script"}
        for path, names in _commands(dumped):
            long = {name["name"] for name in names if name["kind"].startswith("long")}
            short = {name["name"] for name in names if name["kind"] == "short"}
            known |= long | short
            section = sections.get(tuple(path[1:]))
            if section is None and not long - {"help", "version"}:
                continue
            check(section is not None, f"{tool}.1 has no section on {' '.join(path[1:])}")
            shown = set(re.findall(r"\bFl -([a-z0-9-]+)", section))
            missing = long - shown - ({"help", "version"} if path[1:] else set())
            check(not missing, f"{tool}.1 does not have {missing} of {' '.join(path)}")
            missing = short - set(re.findall(r"\bFl ([a-z])\b", page))
            check(not missing, f"{tool}.1 does not have {missing} of {' '.join(path)}")
        shown = set(re.findall(r"\bFl -?([a-z0-9-]+)", page))
        check(shown <= known, f"{tool}.1 has options that {tool} has not: {shown - known}")


@test
def manual_pages_of_all_functions(bench):
    """Each function of the header has a page and is exported, and nothing else is."""
    text = functions.header_text(_HEADER)
    declared = set(re.findall(r"\b(peermr_\w+)\(", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)))
    declared = {name for name in declared if not name.isupper()}
    pages = bench.work / "pages"
    written = set(functions.write(pages))
    check(written == declared, f"pages and functions differ: {written ^ declared}")
    exported = set()
    for line in run(["objdump", "-T", bench.programs / "lib" / "libpeermr.so"]).splitlines():
        words = line.split()
        if len(words) >= 7 and words[3] == ".text":
            exported.add(words[-1])
    check(exported == declared, f"exports and functions differ: {exported ^ declared}")
    for page in pages.glob("*.3"):
        check("\n.Sh DESCRIPTION\n" in page.read_text() or page.read_text().startswith(".so "),
              f"{page.name} describes nothing")


@test
def manual_pages_are_sound(bench):
    """mandoc finds nothing to warn of in any page."""
    check(shutil.which("mandoc"), "mandoc is missing: install it with apt-get install mandoc")
    pages = bench.work / "linted"
    functions.write(pages / "man3")
    # mandoc looks for included pages from here.
    found = []
    for page in sorted([*(_PACKAGING / "man").glob("*.[1-9]"), *(pages / "man3").glob("*.3")]):
        if page.read_text().startswith(".so "):
            check((pages / page.read_text().split()[1]).exists(), f"{page.name} leads nowhere")
            continue
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)], capture_output=True, text=True,
                              cwd=pages, check=False)
        found += [line for line in (done.stdout + done.stderr).splitlines() if "makewhatis" not in line]
    check(not found, "mandoc warns\n" + "\n".join(found))


def _files(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@test
def install_and_uninstall(bench):
    """What was installed below DESTDIR is gone after --uninstall, and what others have there stays."""
    stage = bench.work / "stage"
    other = stage / "opt" / "some" / "share" / "man" / "man1" / "other.1"
    other.parent.mkdir(parents=True)
    other.write_text("of others\n")
    before = _files(stage)
    words = [_PACKAGING / "install", "--prefix", "/opt/some"]
    run([*words, "--programs", bench.programs], {"DESTDIR": str(stage)})
    prefix = stage / "opt" / "some"
    for path in ["bin/peermr", "lib/libpeermr.so", "lib/libpeermr-preload.so", f"lib/libpeermr.so.{bench.version}", "include/peermr.h", "include/peermr/region.h",
                 "share/man/man1/peermr.1.gz", "share/peermr/latency.gp", "share/man/man3/peermr_prove.3.gz",
                 "lib/python3/dist-packages/peermr/__init__.py", "share/bash-completion/completions/peermr", "lib/cmake/PeerMR/PeerMRConfig.cmake"]:
        check((prefix / path).exists(), f"{path} was not installed")
    installed = _files(stage)
    run([*words, "--programs", bench.programs], {"DESTDIR": str(stage)})
    check(_files(stage) == installed, "a second install leaves other files than the first")
    run([*words, "--uninstall"], {"DESTDIR": str(stage)})
    check(_files(stage) == before, f"--uninstall leaves {set(_files(stage)) ^ set(before)}")
    run([*words, "--uninstall"], {"DESTDIR": str(stage)}, code=1)


@test
def refusals(bench):
    """Wrong usage is one sentence, and nothing is installed."""
    stage = bench.work / "nothing"
    for words in (["--prefix", "relative"], ["--prefix"], ["--sideways"], ["--programs", str(bench.work)]):
        done = subprocess.run([_PACKAGING / "install", *words], capture_output=True, text=True, check=False,
                              env={**os.environ, "DESTDIR": str(stage)})
        check(done.returncode == 1, f"install {words} ended with {done.returncode}")
        check(done.stderr.count("\n") == 1, f"install {words} said {done.stderr!r}")
        check(not stage.exists(), f"install {words} left something")


_C = """
#include <infiniband/verbs.h>
#include <peermr.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    struct peermr_error error = PEERMR_ERROR_INIT;
    struct peermr_route_result route = PEERMR_ROUTE_RESULT_INIT;
    if (peermr_route("nonsense", "0000:00:00.0", &route) != PEERMR_INVALID_ARGUMENT)
        return 1;
    if (peermr_last_error(&error) != PEERMR_OK || !strlen(error.message))
        return 2;
    if (ibv_fork_init() < 0)
        return 3;
    return puts(peermr_version()) < 0;
}
"""


@test
def consumers_by_pkg_config(bench):
    """A C and a C++ program compile by what pkg-config says, and run without a Swift toolchain."""
    source = bench.work / "consumer.c"
    source.write_text(_C)
    environment = bench.package_environment()
    flags = run(["pkg-config", "--cflags", "--libs", "peermr"], environment).split()
    for compiler, standard, language in (("gcc", "-std=c99", "c"), ("g++", "-std=c++11", "c++")):
        program = bench.work / f"consumer-{language}"
        run([compiler, standard, "-Wall", "-Wextra", "-pedantic", "-Werror", "-x", language, source, "-x", "none",
             "-o", program, *flags], environment)
        said = run(["env", "-i", f"LD_LIBRARY_PATH={environment['LD_LIBRARY_PATH']}", program])
        check(said.strip() == bench.version, f"it runs with {said!r}")


@test
def consumer_by_cmake(bench):
    """A program of CMake finds the package, and is refused one of another version."""
    check(shutil.which("cmake"), "cmake is missing: install it with apt-get install cmake")
    project = bench.work / "project"
    project.mkdir()
    (project / "main.c").write_text(_C)
    text = ("cmake_minimum_required(VERSION 3.10)\nproject(consumer C)\nfind_package(PeerMR {} REQUIRED)\n"
            "add_executable(consumer main.c)\ntarget_link_libraries(consumer PRIVATE PeerMR::peermr)\n")
    where = f"-DCMAKE_PREFIX_PATH={bench.prefix}"
    (project / "CMakeLists.txt").write_text(text.format(bench.version.rsplit(".", 1)[0]))
    run(["cmake", "-S", project, "-B", project / "build", where])
    run(["cmake", "--build", project / "build"])
    said = run([project / "build" / "consumer"], {"LD_LIBRARY_PATH": f"{bench.prefix}/lib"})
    check(said.strip() == bench.version, f"it runs with {said!r}")
    (project / "CMakeLists.txt").write_text(text.format("0.0"))
    run(["cmake", "-S", project, "-B", project / "other", where], code=1)


def main():
    """Run the tests, a line for each, and count them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--only", default="", help="the tests with this in their names")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peermr-packaging-") as work:
        return run_tests(options.only, Bench(options.programs.resolve(), Path(work)))


if __name__ == "__main__":
    sys.exit(main())
