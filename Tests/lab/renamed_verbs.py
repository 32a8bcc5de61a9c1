# SPDX-License-Identifier: Apache-2.0
"""As a wheel does: load a program's code with a libibverbs of another name, which nothing else in the process sees.

    renamed_verbs.py FOLDER PROGRAM.so WORD...

makes copies of libibverbs and of Soft-RoCE's provider in FOLDER that have the other name, and calls `plain_main` of a
copy of PROGRAM.so that depends on it.
"""
import ctypes
import glob
import os
import sys

# Of the same length, so that the names in the files can be exchanged.
OLD, NEW = b"libibverbs.so.1\0", b"libib-1f2e.so.1\0"


def renamed(path, made):
    """Copy a file, with the other name in it."""
    with open(path, "rb") as file:
        data = file.read()
    assert OLD in data and len(OLD) == len(NEW), path
    with open(made, "wb") as file:
        file.write(data.replace(OLD, NEW))
    return made


def main():
    """Do what the module says."""
    folder, program, *words = sys.argv[1:]
    library, = glob.glob("/usr/lib/*/libibverbs.so.1")
    provider, = glob.glob("/usr/lib/*/libibverbs/librxe-rdmav*.so")
    renamed(library, f"{folder}/{NEW[:-1].decode()}")
    renamed(provider, f"{folder}/{os.path.basename(provider)}")
    os.environ["RDMAV_DRIVERS"] = f"{folder}/librxe"
    loaded = ctypes.CDLL(renamed(program, f"{folder}/wheel.so"))
    arguments = [b"plain_main", *(word.encode() for word in words)]
    code = loaded.plain_main(len(arguments), (ctypes.c_char_p * (len(arguments) + 1))(*arguments, None))
    ctypes.CDLL(None).fflush(None)
    return code


if __name__ == "__main__":
    sys.exit(main())
