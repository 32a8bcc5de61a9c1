# SPDX-License-Identifier: Apache-2.0
"""What the server holds it gives back, and what it hands out is clean."""
from pathlib import Path

from checks import check, equal, noise
from registry import PAIR, test

MIB = 1 << 20
POOL_TOOL = Path(__file__).with_name("pool_tool.py")


@test(PAIR)
def many_transfers(bench):
    """After twenty transfers the server has no more files, RDMA objects or slots than after two."""
    path = bench.file("many", noise(300_001, 61))
    nothing = bench.held()
    with bench.serve() as server:
        equal(bench.put(path).code, 0, "the exit code of the first put")
        server.transfers(2)
        first = bench.held()
        equal(first["p2pmem"], nothing["p2pmem"] - server.pool, "the free p2pmem while the server is idle")
        for number in range(9):
            equal(bench.put(path).code, 0, f"the exit code of put {number}")
        server.transfers(20)
        bench.settles(bench.held, first, "what is held after 20 transfers")
    bench.settles(bench.held, nothing, "what is held without a server")


@test(PAIR)
def wiped(bench):
    """The slots hold nothing of the last owner of that p2pmem when a client gets them."""
    free = bench.free_p2pmem()
    tool = ["python3", POOL_TOOL, bench.p2pmem() + "/allocate", free]
    bench.must(bench.server, [*tool, "mark"])
    data = noise(4096, 71)
    with bench.serve("--clients", 1) as server:
        equal(bench.put(bench.file("page", data), "--no-verify").code, 0, "the exit code of put")
        server.transfers(1)
    equal(bench.free_p2pmem(), free, "the free p2pmem after the server")
    found = bench.must(bench.server, [*tool, "look"]).split()
    # The server had 8 slots of 256 KiB: the page that had the file may be wiped already, the others are zero.
    check(found in (["unmarked", "512", "zero", "511", "other", "1"], ["unmarked", "512", "zero", "512", "other", "0"]),
          f"the pages of the CMB are {found}")
