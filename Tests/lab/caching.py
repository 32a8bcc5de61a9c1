# SPDX-License-Identifier: Apache-2.0
"""`peermr bench cache` on real kernels: each region is registered once, found from then on, and gone at the end."""
import json

from checks import check, equal
from registry import HCA, PAIR, Failure, test

KIB = 1 << 10


def cached(bench, device, *words, code=0):
    """Run the bench; its memories by name. Nothing may be left registered."""
    host, before = bench.server, bench.regions(bench.server)
    result = bench.run(host, [bench.tool, "bench", "cache", "--device", device, "--json", *words], 240)
    equal(result.code, code, "the exit code of peermr bench cache")
    equal(bench.regions(host), before, "the regions that are registered afterwards")
    try:
        return {memory["memory"]: memory for memory in json.loads(result.stdout)["memories"]}
    except ValueError as error:
        raise Failure(f"the output is no JSON: {error}") from error


def found_again(memory, regions, lookups, size):
    """Fail unless each region was registered once and found from then on, at far less than a registration."""
    seen = memory["statistics"]
    # By leases and by the reader, and one lease at the end.
    equal((seen["misses"], seen["hits"], seen["regions"]), (regions, 2 * lookups + 1, regions), "misses, hits, regions")
    equal((seen["bytesLeased"], seen["bytesIdle"]), (size, (regions - 1) * size), "the bytes leased and idle")
    equal(set(seen["evictions"].values()), {0}, "the evictions")
    ended = memory["ended"]["invalidations"]
    equal((ended["loss"], ended["range"], memory["ended"]["regions"]), (1, regions - 1, 0), "what ended")
    check(seen["savedNanoseconds"] > 100 * lookups, f"the time saved is {seen['savedNanoseconds']} ns")
    dear, cheap = memory["register"]["p50"], memory["lease"]["median"]
    check(dear > 5 * cheap, f"a registration takes {dear} ns, and a lease {cheap} ns")
    print(f"     {memory['memory']} ({memory['method']}), in QEMU: registered in {dear / 1000:.1f} µs, leased in "
          f"{cheap:.0f} ns, found by a reader in {memory['reader']['median']:.0f} ns"
          + (f", by its address in {memory['leaseByAddress']['median']:.0f} ns" if memory["leaseByAddress"] else ""),
          flush=True)


@test(PAIR)
def soft_roce(bench):
    """Host memory and p2pmem on Soft-RoCE; with a limit, regions go and come back; four threads share registrations."""
    pool, free = f"p2pmem:{bench.server.bdf('nvme0')}", bench.free_p2pmem()
    found = cached(bench, "rxe0", "--memory", "host", "--memory", pool, "--size", "16K", "--regions", 32,
                   "--lookups", 20000)
    equal({name: memory["method"] for name, memory in found.items()}, {"host": "pinned", pool: "onDemand"}, "methods")
    for memory in found.values():
        found_again(memory, 32, 20000, 16 * KIB)
        check(memory["leaseByAddress"]["median"] > memory["lease"]["median"], f"by its address: {memory}")
    limited = cached(bench, "rxe0", "--memory", pool, "--size", "16K", "--regions", 32, "--limit", 8,
                     "--lookups", 2000)[pool]["statistics"]
    check(limited["evictions"]["count"] > 24 and limited["misses"] > 32, f"nothing goes for the limit: {limited}")
    check(limited["regions"] <= 8, "more are kept than the limit says")
    shared = cached(bench, "rxe0", "--memory", pool, "--size", "16K", "--regions", 32, "--threads", 4,
                    "--lookups", 5000)[pool]
    equal(shared["statistics"]["misses"], 32, "the registrations of four threads that ask for the same")
    check(shared["leaseByThreads"]["median"] > 0, "the threads have no figure")
    equal(bench.free_p2pmem(), free, "the free p2pmem afterwards")


@test(PAIR)
def refusals_of_the_cache(bench):
    """What cannot be registered is told, and what can be is measured all the same; bad words are one sentence."""
    pool = f"p2pmem:{bench.server.bdf('nvme0')}"
    found = cached(bench, "rxe0", "--memory", pool, "--memory", "host", "--size", "1M", "--regions", 64,
                   "--lookups", 1000, code=1)
    check(found[pool]["error"]["code"] == "resourceLimit" and found["host"]["error"] is None, f"{found}")
    for words in (["--device", "rxe9"], ["--device", "rxe0", "--regions", "0"], ["--device", "rxe0", "--limit", "0"],
                  ["--device", "rxe0", "--size", "1"]):
        result = bench.run(bench.server, [bench.tool, "bench", "cache", *words])
        equal((result.code, result.stderr.count("\n")), (2, 1), f"code and sentences with {words}")


@test(HCA)
def dma_bufs(bench):
    """dma-bufs of udmabuf, a dma-heap and a BAR on a device that imports them, and the table for people."""
    host, address = bench.server, bench.server.bdf("near")
    bench.later(lambda: bench.run(host, [bench.tool, "vfio", "unbind", address]))
    bench.must(host, f"modprobe vfio-pci; {bench.tool} vfio bind {address}; ls /dev/udmabuf /dev/dma_heap/system")
    names = ["udmabuf", "heap:system", f"vfio:{address}:2"]
    found = cached(bench, "labhca0", *(word for name in names for word in ("--memory", name)), "--size", "16K",
                   "--regions", 32, "--lookups", 20000)
    equal({memory["method"] for memory in found.values()}, {"dmaBuf"}, "the methods")
    for memory in found.values():
        found_again(memory, 32, 20000, 16 * KIB)
    said = bench.must(host, [bench.tool, "bench", "cache", "--device", "labhca0", "--memory", "udmabuf",
                             "--lookups", "2000"])
    check("register/lease" in said and "udmabuf" in said and "loss 1" in said, f"the table has {said!r}")
