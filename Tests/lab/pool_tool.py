# SPDX-License-Identifier: Apache-2.0
"""Runs in a guest: allocates all that is free of a pool of p2pmem, and marks or examines its pages.

    pool_tool.py ALLOCATE BYTES mark|look

All that is free is taken, so it does not matter how the kernel picks pages: those that a program
had since the marking are the ones without a mark.
"""
import mmap
import sys

PAGE = 4096
MARK = b"\xa5peermr\x5a"


def main():
    """Mark or look, and print what was found."""
    path, count, verb = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    with open(path, "r+b", buffering=0) as file:
        memory = mmap.mmap(file.fileno(), count, mmap.MAP_SHARED)
    if verb == "mark":
        for page in range(0, count, PAGE):
            memory[page:page + PAGE] = MARK * (PAGE // len(MARK))
        return
    pages = (memory[page:page + PAGE] for page in range(0, count, PAGE))
    marked, zero, other = 0, 0, 0
    for page in pages:
        if page == MARK * (PAGE // len(MARK)):
            marked += 1
        elif page == bytes(PAGE):
            zero += 1
        else:
            other += 1
    print("unmarked", zero + other, "zero", zero, "other", other)


main()
