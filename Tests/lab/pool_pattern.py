# SPDX-License-Identifier: Apache-2.0
"""Runs in a guest: allocates all that is free of a pool of p2pmem, and counts the pages full of a pattern.

    pool_pattern.py ALLOCATE BYTES PATTERN        PATTERN: bytes in hexadecimal, whose length divides a page
"""
import mmap
import sys

PAGE = 4096


def main():
    """Count, and print."""
    path, count, pattern = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])
    with open(path, "r+b", buffering=0) as file:
        memory = mmap.mmap(file.fileno(), count, mmap.MAP_SHARED)
    full = pattern * (PAGE // len(pattern))
    print("pages", sum(memory[page:page + PAGE] == full for page in range(0, count, PAGE)))


main()
