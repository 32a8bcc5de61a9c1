# SPDX-License-Identifier: Apache-2.0
"""The watch of libpeermr-preload.so: on Soft-RoCE, what it refuses is what goes wrong, and nothing else."""
import re

from checks import check, equal, in_order
from preload import VERBOSE, VOUCHED, plain, pool, preloaded, program
from registry import HCA, PAIR, test

OFF, REPORT = {"PEERMR_WATCH": "off"}, {"PEERMR_WATCH": "report"}


def drawn(bench, seed, count, mtu, *words, env):
    """Draw requests on p2pmem of rxe0 and post them: what became of each, how many are of it, what was said."""
    made = program(bench, "random_posts", "random_posts")
    result = bench.run(bench.server, [made, "rxe0", pool(bench), seed, count, mtu, *words], 120,
                       preloaded(bench, **VOUCHED, **env))
    found = re.findall(r"^\d+ (\S+) (.+)$", result.stdout, re.MULTILINE)
    involved = re.search(r"^involved (\d+)$", result.stdout, re.MULTILINE)
    if result.code == 0:
        equal(len(found), count, f"the number of requests that were made with seed {seed}")
    return result.code, found, int(involved[1]) if involved else None, result.stdout + result.stderr


def counted(found, outcome):
    """How many requests ended so."""
    return sum(told == outcome for _, told in found)


@test(PAIR)
def what_is_refused_is_what_goes_wrong(bench):
    """Drawn requests of all kinds: without the watch some move other bytes than promised; it refuses just those."""
    for seed, words in ((1, ()), (2, ("wr",)), (3, ("srq",)), (4, ("wr", "srq"))):
        code, bare, _, said = drawn(bench, seed, 150, 4096, *words, env=OFF)
        equal((code, "watch:" in said), (0, False), f"the end of the program with {words}, without the watch")
        code, found, _, said = drawn(bench, seed, 150, 4096, *words, env={})
        equal(code, 0, f"the exit code of the program with {words}")
        wanted = [(name, "refused" if told == "WRONG" else told) for name, told in bare]
        equal(found, wanted, f"what became of the requests with {words}")
        wrong = counted(bare, "WRONG")
        check(wrong > 30 and counted(bare, "right") > 30 and wrong + counted(bare, "right") == 150,
              f"{wrong} of 150 requests went wrong, which shows little")
        for name in {name for name, _ in bare}:
            check(name == "inline" or (name, "WRONG") in bare, f"no request of the kind {name} went wrong")
            check((name, "right") in found, f"no request of the kind {name} was right")
        check(said.count("refused (EINVAL)") < 20, "there is a line for nearly every request")
        in_order(said, "peermr-preload: watch:", "rxe0 refused", "inside a page", "reports success")
        print(f"     {' '.join(words) or 'ibv_post_send'}: {wrong} of 150 go wrong, and are refused", flush=True)
    equal(bench.regions(), 0, "the regions that are registered afterwards")


@test(PAIR)
def what_is_reported_is_what_goes_wrong(bench):
    """Reported, requests are made, and those that are counted as wrong are; so with small packets, too."""
    for seed, mtu, words in ((5, 4096, ()), (6, 1024, ()), (7, 1024, ("wr",))):
        code, found, involved, said = drawn(bench, seed, 150, mtu, "one-sided", *words, env=REPORT)
        equal(code, 0, f"the exit code of the program at {mtu} bytes")
        wrong = counted(found, "WRONG")
        right = int(re.search(r"watched memory that were right: (\d+)", said)[1])
        check(wrong > 20, f"{wrong} requests went wrong, which shows little")
        equal(right, involved - wrong, f"the requests that are reported as right, of {involved}, {wrong} of them not")
        equal("path MTU of 1024 let through" in said, mtu == 1024, "whether the path MTU is reported")
    code, _, _, said = drawn(bench, 6, 10, 1024, env={})
    equal(code, 2, "the exit code of a program that connects with a path MTU of 1024")
    in_order(said, "ibv_modify_qp: Invalid argument")
    check("path MTU of 1024 refused (EINVAL)" in said, "the watch does not say why")
    equal(bench.regions(), 0, "the regions that are registered afterwards")


def serving(bench, verb, *words, env=None):
    """Start the server of one of perftest's programs, over p2pmem; it, and the client's command."""
    words = [f"ib_{verb}_bw", "-d", "rxe0", "-n", 40, "-F", *words]
    server = bench.start(bench.server, [*words, f"--mmap={pool(bench)}", "--mmap-offset=0"],
                         preloaded(bench, **VOUCHED, **(env or {})))
    bench.settles(lambda: not server.running or "LISTEN" in bench.must(
        bench.server, "ss -ltn; rdma resource show cm_id"), True, "whether the server listens or has ended")
    return server, [*words, bench.server.address]


def bandwidth(bench, verb, *words, peer=None, fails=False):
    """Run it, with the library at the client, too; both results."""
    server, command = serving(bench, verb, *words)
    client = bench.run(bench.client, command, 90, preloaded(bench, **peer) if peer else None)
    if fails:
        check(client.code != 0, f"{' '.join(map(str, words))} takes no notice of a refused request")
        return None, client
    server = server.wait(30)
    equal((server.code, client.code), (0, 0), f"the exit codes of {' '.join(map(str, words))}")
    return server, client


@test(PAIR)
def the_peer_sees_its_requests(bench):
    """What the owner cannot see, the peer's watch reports, by key; of whole pages it says nothing."""
    whole = ("-m", 4096, "-s", 65536)
    _, client = bandwidth(bench, "write", *whole, peer=REPORT)
    equal(client.stderr.count("watch:"), 0, "the lines about whole pages")
    server, client = bandwidth(bench, "write", "-m", 4096, "-s", 1024, peer=REPORT)
    check("watch:" not in server.stderr, "the owner claims to see a peer's requests")
    in_order(client.stderr, "watch: ", "let through", "remote key 0x", "inside a page",
             "if its owner pages that memory so", "give both ends -s with a multiple of 4096")
    found = re.search(r"remote key 0x\w+: (\d+) of (\d+) requests", client.stderr)
    check(found and 0 < int(found[1]) <= int(found[2]), f"there is no sum: {client.stderr}")
    # Named, they are refused.
    _, client = bandwidth(bench, "write", "-m", 4096, "-s", 1024, fails=True,
                          peer={"PEERMR_WATCH": "refuse", "PEERMR_WATCH_REMOTE": "all"})
    in_order(client.stderr, "refused", "the watched remote key")
    equal(bench.regions(), 0, "the regions that are registered afterwards")


@test(PAIR)
def contexts_of_rdma_cm(bench):
    """librdmacm opens devices and connects queue pairs by itself: the watch is there, too."""
    server, command = serving(bench, "send", "-R", "-s", 1000)
    bench.start(bench.client, command)
    server = server.wait(60)
    check(server.code != 0, "receives that begin inside pages are not refused")
    in_order(server.stderr, "ibv_post_recv on rxe0 refused", "bytes received at", "inside a page", "give both ends -s")
    server, command = serving(bench, "send", "-R", "-s", 65536)
    bench.start(bench.client, command)
    server = server.wait(60)
    equal((server.code, server.stderr.count("watch:")), (0, 0), "the end of a server that receives whole pages")


@test(HCA)
def no_guard_no_watch(bench):
    """A device that does the DMA itself keeps its own posting calls."""
    memory = f"p2pmem=/sys/bus/pci/devices/{bench.server.bdf('near-drive')}/p2pmem/allocate"
    lines, _ = plain(bench, "labhca0", memory, 5000, 3001, "calls", env=preloaded(bench, **VERBOSE, **VOUCHED))
    equal([line for line in lines if line.startswith("posts by")], ["posts by libibverbs.so.1"], "whose calls they are")
