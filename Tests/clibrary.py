#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of libpeermr.so itself, on this machine: what it needs, exports and does, over a fake libibverbs.

    Tests/clibrary.py --programs DIR

DIR/lib holds the libraries, built. The C programs of Tests/CABI are compiled with gcc and linked against the library,
and bring the fake of libibverbs with them; they run under valgrind, too. The tests in the lab have real devices.
"""
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent / "Packaging" / "man"))
import functions                                         # noqa: E402
from hosttests import check, run, run_library_tests, test        # noqa: E402

_INCLUDE = _HERE.parent / "Sources" / "CPeerMR" / "include"
# What every Linux that has RDMA programs has; no Swift, and nothing of the connection manager.
_NEEDED = {"libibverbs.so.1", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2",
           "ld-linux-aarch64.so.1"}
_EVERY_STRUCT = """
#include <errno.h>
#include "peermr.h"
#include <infiniband/verbs.h>
int main(void)
{
    struct peermr_error error = PEERMR_ERROR_INIT;
    struct peermr_answer answer = PEERMR_ANSWER_INIT;
    struct peermr_finding finding = PEERMR_FINDING_INIT;
    struct peermr_route_result route = PEERMR_ROUTE_RESULT_INIT;
    struct peermr_options options = PEERMR_OPTIONS_INIT;
    struct peermr_region_info info = PEERMR_REGION_INFO_INIT;
    struct peermr_proof proof = PEERMR_PROOF_INIT;
    struct peermr_memory_info memory = PEERMR_MEMORY_INFO_INIT;
    struct peermr_cache_limits limits = PEERMR_CACHE_LIMITS_INIT;
    struct peermr_lease lease = PEERMR_LEASE_INIT;
    struct peermr_cache_statistics statistics = PEERMR_CACHE_STATISTICS_INIT;
    return !(error.struct_size && answer.struct_size && finding.struct_size && route.struct_size
             && options.struct_size && memory.struct_size && info.struct_size && proof.struct_size && limits.bytes
             && lease.struct_size && statistics.struct_size
             && options.access == IBV_ACCESS_LOCAL_WRITE);
}
"""


@test
def header_compiles(_library, work):
    """peermr.h is clean C99 and C++11 for each compiler here, and its initializers fill every member."""
    for compilers, standard, suffix in ((["gcc", "clang"], "c99", "c"), (["g++", "clang++"], "c++11", "cc")):
        source = work / f"header.{suffix}"
        source.write_text(_EVERY_STRUCT)
        there = [name for name in compilers if shutil.which(name)]
        check(there, f"there is no compiler of {standard}")
        for name in there:
            program = work / f"header-{name}"
            run([name, f"-std={standard}", "-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{_INCLUDE}", source,
                 "-o", program])
            run([program])


@test
def needs_little(library, _work):
    """The library needs libibverbs and the C and C++ runtimes, has its name, and finds nothing by a path of its own."""
    dynamic = run(["readelf", "-dW", library])
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    check(needed <= _NEEDED, f"it needs {sorted(needed - _NEEDED)}")
    check(re.search(r"\(SONAME\).*\[libpeermr\.so\.0\]", dynamic), "its name is not libpeermr.so.0")
    check("NODELETE" in dynamic, "dlclose would take the Swift runtime away")
    check("RUNPATH" not in dynamic and "RPATH" not in dynamic, "it looks for libraries at a path of its own")


@test
def exports_the_header(library, _work):
    """What it exports are the functions of the header, under the version PEERMR_0.1, and nothing else."""
    declared = set(re.findall(r"\b(peermr_\w+)\(", re.sub(r"/\*.*?\*/", "", functions.header_text(),
                                                         flags=re.DOTALL)))
    check(len(declared) > 20, "the functions of the header are not found")
    # Lower case is local: what a thread's storage is found by.
    exported = {words[2] for line in run(["nm", "-D", "--defined-only", library]).splitlines()
                if (words := line.split())[1].isupper()}
    wanted = {f"{name}@@PEERMR_0.1" for name in declared} | {"PEERMR_0.1"}
    check(exported == wanted, f"too much: {sorted(exported - wanted)}, too little: {sorted(wanted - exported)}")


def _program(library, work):
    """The tests of Tests/CABI as a program of gcc's. Allocations are not counted: valgrind has its own."""
    program = work / "c-abi"
    if not program.exists():
        fakes = [path for path in (_HERE / "CFakeVerbs").glob("*.c") if path.name != "fake_allocations.c"]
        # What the library wants of libibverbs it finds in the program, which comes before all libraries.
        run(["gcc", "-std=gnu11", "-g", "-O1", "-rdynamic", "-pthread", f"-I{_INCLUDE}",
             f"-I{_HERE / 'CFakeVerbs' / 'include'}", f"-I{_HERE / 'CABI' / 'include'}",
             *(_HERE / "CABI").glob("*.c"), *fakes, _HERE / "CABIProgram" / "main.c",
             "-o", program, library, "-libverbs", f"-Wl,-rpath,{library.parent}"])
    return program


@test
def behaves(library, work):
    """A C program of gcc's uses and misuses every function, and nothing crashes."""
    said = run([_program(library, work)])
    check(re.search(r"^[1-9]\d* passed, 0 failed$", said, re.MULTILINE), said)


def _left(program, rounds):
    """What valgrind says is still in use when the program has ended, in bytes; an error of memory is a failure."""
    # What valgrind says has a file of its own: what the tests say would be lost in it.
    with tempfile.NamedTemporaryFile("r") as log:
        said = run(["valgrind", f"--log-file={log.name}", "--leak-check=full",
                    "--errors-for-leak-kinds=definite,indirect", "--error-exitcode=9", "--num-callers=30",
                    "--fair-sched=yes", program, rounds])
        check(re.search(r"^[1-9]\d* passed, 0 failed$", said, re.MULTILINE), said)
        found = re.search(r"in use at exit: ([\d,]+) bytes", log.read())
    check(found, "valgrind does not say what is left")
    return int(found[1].replace(",", ""))


@test
def loses_no_memory(library, work):
    """valgrind finds nothing lost and no use of memory of others, and no more is kept after more calls.

    What is kept once is the Swift runtime's (its caches of metadata) and what is remembered of devices.
    """
    check(shutil.which("valgrind"), "valgrind is missing: install it with apt-get install valgrind")
    once, thrice = (_left(_program(library, work), rounds) for rounds in (1, 3))
    print(f"     kept at the end: {once} bytes after one round, {thrice} after three", flush=True)
    # Each round has three devices of its own, which are remembered (64 at most), by some 600 bytes each. It registers
    # more than a thousand times: an object of 48 bytes lost each time would be 96 KiB.
    check(thrice - once < 12288, f"{once} bytes are kept after one round, and {thrice} after three")


sys.exit(run_library_tests("the C library"))
