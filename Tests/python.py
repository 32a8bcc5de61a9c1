#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the Python module on this machine: its view of the header, and what it does over a fake libibverbs.

    Tests/python.py --programs DIR [--only WORD]

DIR/lib holds libpeermr.so, built. The test in the lab has real devices, and pyverbs.
"""
import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
_HERE = Path(__file__).resolve().parent
_MODULE = _HERE.parent / "Sources" / "Python"
_INCLUDE = _HERE.parent / "Sources" / "CPeerMR" / "include"
sys.path[:0] = [str(_MODULE), str(_HERE.parent / "Packaging" / "man")]
import functions                                         # noqa: E402
from hosttests import check, run, run_library_tests, test        # noqa: E402
from peermr import _library, _structs                    # noqa: E402


def _structs_of_module():
    """The structs by their names in C."""
    return {kind.__doc__.split()[1]: kind for kind in vars(_structs).values()
            if isinstance(kind, type) and issubclass(kind, _structs.Struct) and kind is not _structs.Struct}


@test
def structs_are_the_headers(_library_path, work):
    """Every struct has the members of the header's, at the same places, and the same size."""
    lines = []
    for name, kind in _structs_of_module().items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        lines += [f'printf("{name}.{member} %zu %zu\\n", offsetof(struct {name}, {member}), '
                  f'sizeof(((struct {name} *)0)->{member}));' for member, _ in kind._fields_]
    source, program = work / "layout.c", work / "layout"
    source.write_text('#include <stdio.h>\n#include "peermr.h"\nint main(void)\n{\n' + "\n".join(lines)
                      + "\nreturn 0;\n}\n")
    run(["gcc", "-Wall", "-Werror", f"-I{_INCLUDE}", source, "-o", program])
    said = [line.split() for line in run([program]).splitlines()]
    for name, *numbers in said:
        struct, _, member = name.partition(".")
        kind = _structs_of_module()[struct]
        place = getattr(kind, member) if member else None
        found = [place.offset, place.size] if place else [ctypes.sizeof(kind)]
        check(found == [int(number) for number in numbers], f"{name} is {found} here, and {numbers} in C")
    text = re.sub(r"/\*.*?\*/", "", functions.header_text(), flags=re.DOTALL)
    for name, kind in _structs_of_module().items():
        body = re.search(rf"struct {name} \{{(.*?)\}};", text, re.DOTALL)[1]
        members = re.findall(r"(\w+);", body)
        check(members == [member for member, _ in kind._fields_], f"{name} has the members {members} in C")


@test
def functions_are_the_headers(_library_path, _work):
    """Every function that is called is the header's, with as many arguments, and the same result."""
    text = re.sub(r"/\*.*?\*/", "", functions.header_text(), flags=re.DOTALL)
    declared = {match[2]: (match[1].strip(), match[3]) for match in re.finditer(
        r"^([a-z][\w ]*?[ *]+)(peermr_\w+)\(([^)]*)\);", text, re.MULTILINE)}
    called = {**{name: ("peermr_status", arguments) for name, arguments in _library.FUNCTIONS.items()},
              **{name: (None, arguments) for name, (_, arguments) in _library.RESULTS.items()}}
    for name, (result, arguments) in called.items():
        check(name in declared, f"peermr.h has no {name}")
        count = 0 if declared[name][1].strip() == "void" else declared[name][1].count(",") + 1
        check(len(arguments) == count, f"{name} has {count} arguments")
        check(result is None or declared[name][0] == result, f"{name} gives {declared[name][0]}")


def _fake(work):
    """The fake of libibverbs as a library that comes before all others."""
    library = work / "libfakeverbs.so"
    if not library.exists():
        fakes = [path for path in (_HERE / "CFakeVerbs").glob("*.c") if path.name != "fake_allocations.c"]
        run(["gcc", "-std=gnu11", "-O1", "-g", "-fPIC", "-shared", "-pthread", f"-I{_INCLUDE}",
             f"-I{_HERE / 'CFakeVerbs' / 'include'}", *fakes, "-o", library, "-libverbs", "-ldl"])
    return library


def _python(words, env, code=0):
    done = subprocess.run(["/usr/bin/python3", "-B", *map(str, words)], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(_MODULE), **env}, timeout=120)
    check(done.returncode == code, f"python3 ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@test
def behaves(library, work):
    """Every class and function is used and misused, over the fake libibverbs."""
    said = _python([_HERE / "python_program.py"], {
        "LD_PRELOAD": str(_fake(work)), "PEERMR_LIBRARY": str(library), "PEERMR_FAKE": str(_fake(work))})
    check(re.search(r"^[1-9]\d* passed, 0 failed$", said, re.MULTILINE), said)


@test
def wrong_libraries(library, work):
    """No library, one of another kind, and one without a function: a sentence each."""
    ask = ("import peermr\ntry:\n    peermr.version()\nexcept peermr.PeerMRError as error:\n"
           "    print(error.code.name, error)")
    lacking = work / "libpeermr.so.0"
    (work / "old.c").write_text('const char *peermr_version(void) { return "0.1.0"; }\n')
    run(["gcc", "-shared", "-fPIC", work / "old.c", "-o", lacking])
    for path, wanted in ((work / "none.so", "NOT_FOUND"), ("libm.so.6", "NOT_SUPPORTED"), (lacking, "NOT_SUPPORTED"),
                         (work / "old.c", "NOT_FOUND")):
        said = _python(["-c", ask], {"PEERMR_LIBRARY": str(path)})
        check(said.startswith(f"{wanted} ") and said.count("\n") == 1, f"with {path} it says {said!r}")
    said = _python(["-c", "import peermr; print(peermr.version())"], {"PEERMR_LIBRARY": str(library)})
    check(re.fullmatch(r"\d+\.\d+\.\d+\n", said), f"with the library it says {said!r}")


@test
def documented(_library_path, _work):
    """Everything that the module offers says what it is, and its functions have types."""
    import peermr                                        # pylint: disable=import-outside-toplevel
    for name in peermr.__all__:
        offered = getattr(peermr, name)
        check((offered.__doc__ or "").strip(), f"peermr.{name} says nothing")
        methods = [method for key, method in vars(offered).items() if not key.startswith("_") and callable(method)] \
            if isinstance(offered, type) else [offered]
        for method in methods:
            check("return" in getattr(method, "__annotations__", {"return": 1}), f"{name}: {method} has no types")
            check((method.__doc__ or "").strip() or isinstance(method, type), f"{name}: {method} says nothing")


sys.exit(run_library_tests("the Python module"))
