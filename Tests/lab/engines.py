# SPDX-License-Identifier: Apache-2.0
"""What RDMA applications sit on, over p2pmem: it fails as it is, and is right with libpeermr-preload.so before it.

The programs are those of Examples/engines, and so are the variables. The memory's owner compares every byte.
"""
from checks import check, equal, in_order
from preload import VERBOSE, VOUCHED, preloaded
from registry import ENGINES, test

PAGES = {**VERBOSE, **VOUCHED}
UCX = {"UCX_TLS": "rc_verbs,ud_verbs", "UCX_NET_DEVICES": "rxe0:1", "UCX_UD_VERBS_ETH_DGID_CHECK": "n"}
# Fragments of UCX that are whole pages.
UCX_PAGES = {**UCX, "UCX_RC_VERBS_SEG_SIZE": "8192"}


def both(bench, owner, client, env, owner_env=None, ready="listening"):
    """Run the memory's owner on the server and its peer on the client, to their ends; (owner's, peer's) results.

    The peer's is None where the owner ends before it is ready.
    """
    process = bench.start(bench.server, owner, {**env, **(owner_env or {})})
    bench.settles(lambda: not process.running or ready in process.stdout() + process.stderr(), True,
                  f"whether {owner[0]} is ready or has ended")
    if not process.running:
        return process.wait(5), None
    result = bench.run(bench.client, client, 240, env)
    return process.wait(30), result


def fails_alone(bench, owner, env, *words):
    """The owner's program has to fail with these words without PeerMR; then nothing may be held."""
    result, _ = both(bench, owner, ["true"], env)
    check(result.code != 0, f"{owner[0]} registers p2pmem without PeerMR")
    in_order(result.stdout + result.stderr, *words)


def lines_of(result):
    """What a program said of each of its requests: "put of 65536 bytes at 0" -> "right" or "WRONG"."""
    return [(line.split(":")[0], line.split(": ")[1].split(",")[0])
            for line in result.stdout.splitlines() if " bytes at " in line]


def requested(request):
    """A request as a program says it afterwards."""
    name, offset, length = request.split(":")
    return f"{name} of {length} bytes at {offset}"


def all_right(result, requests):
    """Every request was made, and every byte was right."""
    equal(lines_of(result), [(requested(request), "right") for request in requests], "what the program found")
    equal(result.code, 0, "its exit code")


def all_given_back(bench, free):
    """Regions and p2pmem are as they were."""
    equal((bench.regions(), bench.free_p2pmem()), (0, free), "regions and free p2pmem afterwards")


@test(ENGINES)
def ucx(bench):
    """ucp_mem_map fails on p2pmem; with the library put, get, messages and atomics are right in fragments of pages."""
    free, owner = bench.free_p2pmem(), ["ucx-move", "own", bench.server.bdf("nvme0")]
    fails_alone(bench, owner, UCX_PAGES, "ibv_reg_mr.*Bad address", "ucp_mem_map")
    requests = ["put:0:65536", "get:0:65536", "put:4096:1048576", "get:8192:1048576", "put:40960:4096",
                "send:0:65536", "receive:0:65536", "send:4096:200", "receive:8192:1048576", "add:64:8"]
    served, result = both(bench, owner, ["ucx-move", "to", bench.server.address, *requests], UCX_PAGES,
                          preloaded(bench, **PAGES))
    all_right(result, requests)
    in_order(served.stderr, "ibv_reg_mr_iova2 of 2097152 bytes", "p2pmem of", "onDemand")
    all_given_back(bench, free)


@test(ENGINES)
def ucx_untuned(bench):
    """UCX's own fragments begin inside pages: the owner sees what became of the bytes that were reported as moved."""
    requests = ["put:0:65536", "put:0:4096", "get:0:65536", "send:0:65536"]
    for place, env in ((bench.server.bdf("nvme0"), preloaded(bench, **PAGES)),
                       (bench.server.bdf("nvme0"), {"UCX_REG_NONBLOCK_MEM_TYPES": "host"})):
        _, result = both(bench, ["ucx-move", "own", place],
                         ["ucx-move", "to", bench.server.address, *requests], UCX, env)
        equal([word for _, word in lines_of(result)], ["WRONG", "right", "WRONG", "right"], "what became of the bytes")
        equal(result.code, 1, "the exit code")


@test(ENGINES)
def ucx_refusals(bench):
    """Bad input ends the program with one sentence."""
    to = ["to", bench.server.address]
    for words, sentence in ((["own", "0000:00:1f.7"], "name a device with p2pmem"), (["up"], "usage: "),
                            ([*to, "put:0:9999999"], "within 2 MiB"), ([*to, "put"], "is no request"),
                            ([*to, "pull:0:8"], "cannot be asked for"), ([*to, "add:4:8"], "is no addition"),
                            ([*to, "put:0:8"], "start the owner there first")):
        result = bench.run(bench.server, ["ucx-move", *words], 60, UCX)
        equal((result.code, len(result.stderr.splitlines())), (1, 1), f"the exit code and the lines of {words}")
        in_order(result.stderr, sentence)
