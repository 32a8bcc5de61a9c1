# SPDX-License-Identifier: Apache-2.0
"""What RDMA applications sit on, over p2pmem: it fails as it is, and is right with libpeermr-preload.so before it.

The programs are those of Examples/engines, and so are the variables. The memory's owner compares every byte.
"""
import re

from checks import check, equal, in_order
from hcatool import DEVICE, nothing_is_left, vfio
from preload import VERBOSE, VOUCHED, preloaded
from registry import ENGINES, HCA_AMD, test

# At the memory's owner; and at its peer, where every remote key is watched as if its memory were p2pmem.
PAGES = {**VERBOSE, **VOUCHED}
WATCHED = {"PEERMR_WATCH": "refuse", "PEERMR_WATCH_REMOTE": "all"}
UCX = {"UCX_TLS": "rc_verbs,ud_verbs", "UCX_NET_DEVICES": "rxe0:1", "UCX_UD_VERBS_ETH_DGID_CHECK": "n"}
# Fragments of UCX that are whole pages.
UCX_PAGES = {**UCX, "UCX_RC_VERBS_SEG_SIZE": "8192"}
# Else libfabric makes room for hundreds of peers.
FABRIC = {"FI_UNIVERSE_SIZE": "16"}

# Both ways of Open MPI to verbs, each by UCX's code.
MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
_MPIRUN = "mpirun --map-by :OVERSUBSCRIBE"
MPI_UCX = (f"{_MPIRUN} --mca pml ucx --mca osc ucx --mca opal_common_ucx_devices any "
           "--mca opal_common_ucx_tls any").split()
MPI_UCT = (f"{_MPIRUN} --mca pml ob1 --mca osc rdma --mca btl self,uct --mca btl_uct_memory_domains rxe0 "
           "--mca btl_uct_transports rc_verbs,ud_verbs").split()


def started(bench, owner, env, ready=18600):
    """Start the memory's owner on the server, and wait until it is ready or has ended.

    It is ready when it listens at that port, or has said that text.
    """
    def is_ready():
        if isinstance(ready, str):
            return ready in process.stdout() + process.stderr()
        return "LISTEN" in bench.server.run(f"ss -ltn sport = {ready}").stdout
    process = bench.start(bench.server, owner, env)
    bench.settles(lambda: not process.running or is_ready(), True, f"whether {owner[0]} listens or has ended")
    return process


def both(bench, owner, client, env, owner_env=None, peer_env=None, ready=18600):
    """Run the owner, and its peer on the client, to their ends; (owner's, peer's) results."""
    process = started(bench, owner, {**env, **(owner_env or {})}, ready)
    check(process.running, f"{owner[0]} has ended before its peer came")
    result = bench.run(bench.client, client, 240, {**env, **(peer_env or {})})
    return process.wait(30), result


def watched(bench, owner, client, env):
    """Both, each with the library before it, which refuses what would go wrong; nothing is. The peer's result."""
    served, result = both(bench, owner, client, env, preloaded(bench, **PAGES), preloaded(bench, **WATCHED))
    equal("watch:" in served.stderr + result.stderr, False, "whether a request is refused")
    in_order(served.stderr, "of 2097152 bytes", "p2pmem of", "onDemand")
    return result


def fails_alone(bench, owner, env, *words, client=None, ready=18600):
    """The owner's program has to fail with these words without PeerMR, if need be when its peer comes."""
    process = started(bench, owner, env, ready)
    if client and process.running:
        bench.start(bench.client, client, env)
    result = process.wait(60)
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
    all_right(watched(bench, owner, ["ucx-move", "to", bench.server.address, *requests], UCX_PAGES), requests)
    all_given_back(bench, free)


@test(ENGINES)
def ucx_untuned(bench):
    """UCX's own fragments begin inside pages: wrong, unseen by UCX and its owner; the peer's watch sees it."""
    own, to = ["ucx-move", "own", bench.server.bdf("nvme0")], ["ucx-move", "to", bench.server.address]
    requests, reporting = ["put:0:65536", "put:0:4096", "get:0:65536", "send:0:65536"], {"PEERMR_WATCH": "report"}
    for env in (preloaded(bench, **PAGES), {"UCX_REG_NONBLOCK_MEM_TYPES": "host"}):
        served, result = both(bench, own, [*to, *requests], UCX, env, preloaded(bench, **reporting))
        equal([word for _, word in lines_of(result)], ["WRONG", "right", "WRONG", "right"], "what became of the bytes")
        check("watch:" not in served.stderr, "the owner claims to see its peer's requests")
        in_order(result.stderr, "8256 bytes at .*begin 64 bytes inside a page", "14 of 17 requests .* moved wrongly")
    process = started(bench, own, {**UCX, **preloaded(bench, **PAGES)})
    result = bench.run(bench.client, [*to, requests[0]], 120, {**UCX, **preloaded(bench, **WATCHED)})
    check(result.code != 0 and not lines_of(result), "UCX takes no notice of a request that is refused")
    in_order(result.stderr, "ibv_post_send on rxe0 refused .EINVAL.: 8256 bytes", "ibv_post_send.. returned 22")
    process.wait(30)


@test(ENGINES)
def ucx_into_a_page(bench):
    """A message that the owner fetches to inside a page is the owner's own request: it is refused there."""
    env = {**UCX_PAGES, "UCX_ZCOPY_THRESH": "0", "UCX_RNDV_THRESH": "1024", "UCX_RNDV_SCHEME": "get_zcopy"}
    process = started(bench, ["ucx-move", "own", bench.server.bdf("nvme0")], {**env, **preloaded(bench, **PAGES)})
    peer = bench.start(bench.client, ["ucx-move", "to", bench.server.address, "send:100:65536"], env)
    check(process.wait(60).code != 0, "UCX takes no notice of a request that is refused")
    in_order(process.stderr(), "ibv_post_send on rxe0 refused .EINVAL.", "inside a page", "returned 22")
    check(" bytes at " not in peer.stdout(), "the peer takes the message for received")


def pages(result):
    """How many pages of p2pmem hold what was sent, and how many something else."""
    found = re.search(r"^p2pmem: (\d+) pages hold what was sent, (\d+) something else$", result.stdout, re.MULTILINE)
    check(found, f"nothing is said of the pages of p2pmem: {result.stdout!r}")
    return int(found[1]), int(found[2])


@test(ENGINES)
def perftest_into_p2pmem(bench):
    """perftest ends without the library; with it all 64 KiB of the other side's bytes are there, written."""
    own = ["perftest-move", "own", bench.server.bdf("nvme0"), "write"]
    fails_alone(bench, own, {}, "Couldn't allocate MR", client=["perftest-move", "to", bench.server.address, "write"],
                ready=18515)
    perftest_moves(bench, "write")


# Soft-RoCE has once ended this in the middle (IBV_WC_REM_INV_REQ_ERR at both sides) while other guests ran.
@test(ENGINES, long=True)
def perftest_sends_into_p2pmem(bench):
    """The same with messages that are sent."""
    perftest_moves(bench, "send")


def perftest_moves(bench, verb):
    """perftest, with the library at its server, has the other side's bytes there."""
    free, bdf = bench.free_p2pmem(), bench.server.bdf("nvme0")
    own, to = ["perftest-move", "own", bdf, verb], ["perftest-move", "to", bench.server.address, verb]
    served, _ = both(bench, own, to, {}, preloaded(bench, **PAGES), ready=18515)
    equal(served.code, 0, f"the exit code of ib_{verb}_bw")
    in_order(served.stderr, "p2pmem of", "onDemand")
    # The other half of its buffer is for what it would send.
    equal(pages(served), (16, 16), "the pages with the other side's bytes, and perftest's own")
    all_given_back(bench, free)


@test(ENGINES)
def fio_into_p2pmem(bench):
    """fio's rdma engine ends without the library; with it every page that it maps holds the other side's bytes."""
    free, own = bench.free_p2pmem(), ["fio-move", "own", bench.server.bdf("nvme0")]
    to = ["fio-move", "to", bench.server.address]
    fails_alone(bench, own, {}, "ibv_reg_mr.*Bad address", client=to, ready="waiting for connection")
    served, result = both(bench, own, to, {}, preloaded(bench, **PAGES), ready="waiting for connection")
    equal((served.code, result.code), (0, 0), "the exit codes of fio")
    equal(pages(served), (256, 0), "the pages with the other side's bytes, and others")
    all_given_back(bench, free)


@test(ENGINES)
def libfabric(bench):
    """fi_mr_reg fails on p2pmem; with the library RMA and tagged messages that begin on pages are right."""
    free, owner = bench.free_p2pmem(), ["fabric-move", "own", bench.server.bdf("nvme0"), bench.server.address]
    fails_alone(bench, owner, FABRIC, "fi_mr_reg: Bad address")
    requests = ["put:0:65536", "get:0:65536", "put:4096:1048576", "get:8192:1048576", "put:40960:4096",
                "send:0:65536", "receive:0:65536", "send:4096:200", "receive:8192:1048576"]
    all_right(watched(bench, owner, ["fabric-move", "to", bench.server.address, *requests], FABRIC), requests)
    all_given_back(bench, free)


@test(ENGINES)
def openmpi(bench):
    """MPI_Win_create fails on p2pmem both over UCX and over the BTL uct; with the library all is right."""
    free, bdf = bench.free_p2pmem(), bench.server.bdf("nvme0")
    requests = ["put:0:65536", "get:0:65536", "put:4096:1048576", "get:8192:1048576",
                "send:0:65536", "receive:0:65536", "send:4096:200", "receive:8192:1048576"]
    for way in (MPI_UCX, MPI_UCT):
        result = bench.run(bench.server, [*way, "-n", 2, "mpi-move", bdf, *requests], 120, {**MPI, **UCX_PAGES})
        check(result.code != 0, f"{' '.join(way)} makes a window of p2pmem without PeerMR")
        in_order(result.stderr, "MPI_Win_create: MPI_ERR_WIN")
        library = preloaded(bench, **PAGES, **WATCHED)
        words = [word for name, value in library.items() for word in ("-x", f"{name}={value}")]
        result = bench.run(bench.server, [*way, *words, "-n", 2, "mpi-move", bdf, *requests], 120, {**MPI, **UCX_PAGES})
        all_right(result, requests)
        in_order(result.stdout + result.stderr, "ibv_reg_mr_iova2 of 2097152 bytes", "p2pmem of", "onDemand")
        all_given_back(bench, free)


@test(ENGINES)
def openmpi_refusals(bench):
    """Bad input ends the program with one sentence."""
    for words, sentence in ((["host", "pull:0:8"], "cannot be asked for"), (["host"], "usage: ")):
        result = bench.run(bench.server, ["mpi-move", *words], 60, MPI)
        equal((result.code, len(result.stderr.splitlines())), (1, 1), f"the exit code and the lines of {words}")
        in_order(result.stderr, sentence)


@test(ENGINES)
def mooncake(bench):
    """register_memory fails on p2pmem; with the library writes, reads and batches are right."""
    free, owner = bench.free_p2pmem(), ["mooncake-move", "own", bench.server.bdf("nvme0"), bench.server.address]
    fails_alone(bench, owner, {}, "Failed to register memory .*Bad address", "register_memory: -202")
    requests = ["put:0:65536", "get:0:65536", "batch:4096:1048576", "get:8192:1048576", "put:0:4096"]
    to = ["mooncake-move", "to", bench.server.address, bench.client.address]
    all_right(watched(bench, owner, [*to, *requests], {}), requests)
    all_given_back(bench, free)


@test(ENGINES, long=True)
def mooncake_untuned(bench):
    """Slices that are no whole pages, or a smaller MTU: wrong bytes, unseen; the peer's watch refuses such slices."""
    own = ["mooncake-move", "own", bench.server.bdf("nvme0"), bench.server.address]
    to = ["mooncake-move", "to", bench.server.address, bench.client.address, "put:0:65536", "get:0:65536"]
    for env in ({"MC_SLICE_SIZE": "16000"}, {"MC_MTU": "1024"}):
        _, result = both(bench, own, to, env, preloaded(bench, **PAGES, PEERMR_WATCH="off"))
        equal([word for _, word in lines_of(result)], ["WRONG", "WRONG"], f"what became of the bytes with {env}")
    _, result = both(bench, own, to, {"MC_SLICE_SIZE": "16000"}, preloaded(bench, **PAGES), preloaded(bench, **WATCHED))
    equal({word for _, word in lines_of(result)}, {"failed"}, "what the engine says of what is refused")
    in_order(result.stderr, "ibv_post_send on rxe0 refused .EINVAL.: 16000 bytes")


@test(ENGINES)
def mooncake_refusals(bench):
    """Bad input ends the program with one sentence."""
    for words, sentence in ((["own", "0000:00:1f.7", "10.77.0.2"], "name a device with p2pmem"), ([], "usage: "),
                            (["to", "10.77.0.2", "10.77.0.1", "send:0:8"], "is no request")):
        result = bench.run(bench.server, ["mooncake-move", *words], 60)
        equal((result.code, len(result.stderr.splitlines())), (1, 1), f"the exit code and the lines of {words}")
        in_order(result.stderr, sentence)


@test(HCA_AMD)
def libfabric_by_descriptor(bench):
    """A dma-buf of the host and a BAR are registered by descriptor, and the kernel says so; bad input is a sentence."""
    bar = f"{vfio(bench, 'near')}:2"
    for memory in ("udmabuf", bar):
        process = bench.start(bench.server, ["fabric-dmabuf", DEVICE, memory], {"SECONDS": 3})
        process.wait_for(f"registered 65536 bytes of {memory} with {DEVICE}, key 0x", 30)
        in_order(bench.must(bench.server, "rdma resource show mr -dd"), "mrlen 65536", "comm fabric-dmabuf",
                 "drv_memory dmabuf")
        equal(process.wait(30).code, 0, f"the exit code of fabric-dmabuf with {memory}")
        nothing_is_left(bench)
    for words, sentence in (([DEVICE, "nix"], "is no memory: "), (["nix", "udmabuf"], "has no domain nix"),
                            ([DEVICE, bar.replace(":2", ":7")], "VFIO_DEVICE_FEATURE_DMA_BUF: "), ([], "usage: ")):
        result = bench.run(bench.server, ["fabric-dmabuf", *words])
        equal((result.code, len(result.stderr.splitlines())), (1, 1), f"the exit code and the lines of {words}")
        in_order(result.stderr, sentence)


@test(ENGINES)
def libfabric_refusals(bench):
    """Bad input ends the program with one sentence; Soft-RoCE imports no dma-bufs."""
    for words, sentence in ((["fabric-move", "own", "host", "10.99.0.1"], "fi_getinfo: .*finds no RDMA device"),
                            (["fabric-move", "to", bench.server.address, "add:0:8"], "cannot be asked for"),
                            (["fabric-move"], "usage: "),
                            (["fabric-dmabuf", "rxe0", "udmabuf"], "fi_mr_regattr: Operation not supported")):
        result = bench.run(bench.server, words, 60, FABRIC)
        equal((result.code, len(result.stderr.splitlines())), (1, 1), f"the exit code and the lines of {words}")
        in_order(result.stderr, sentence)


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
