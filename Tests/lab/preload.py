# SPDX-License-Identifier: Apache-2.0
"""Programs as they are, with libpeermr-preload.so: what their ibv_reg_mr cannot register becomes a region."""
import re
import shutil
import subprocess
from pathlib import Path

from checks import check, equal, in_order
from hcatool import no_trouble, vfio
from registry import HCA, PAIR, TOOL, Failure, test

KIB = 1 << 10
EFAULT = "refused 14"
VERBOSE, VOUCHED = {"PEERMR_VERBOSE": "1"}, {"PEERMR_WHOLE_PAGES": "1"}


def preloaded(bench, **env):
    """The environment of a program that runs with the library."""
    return {"LD_PRELOAD": bench.libraries / "libpeermr-preload.so", **env}


def program(bench, name="plain_program", source="plain_program", flags=()):
    """The application: compiled here, as any is, without anything of PeerMR."""
    made = bench.scratch / name
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise Failure("no C compiler is here to build the program with")
    if not made.exists():
        subprocess.run([compiler, "-std=gnu11", "-O1", "-g", *flags, "-o", made,
                        Path(__file__).with_name(f"{source}.c"), "-libverbs"], check=True)
    return made


def plain(bench, device, memory, *part, env=None):
    """Run the application; its lines, and what was said on standard error."""
    result = bench.run(bench.server, [program(bench), device, memory, *part], 60, env)
    equal(result.code, 0, f"the exit code of the program with {memory}")
    return result.stdout.splitlines(), result.stderr


def works(lines, length, loaded="loaded"):
    """Fail unless all of it was registered, and bytes went both ways."""
    equal(lines, [f"registered, address as asked, length {length}, errno 77", "write success, equal",
                  "read success, equal", "host deregistered 0", "deregistered 0",
                  f"libpeermr {loaded}"], "what the program saw")


def refused(bench, device, memory, *words, errno=EFAULT, env=None, part=()):
    """Fail unless the refusal is the same with and without the library, which says these words."""
    bare, said = plain(bench, device, memory, *part)
    equal((bare[0], said), (errno, ""), f"what the program saw of {memory}, without the library")
    lines, said = plain(bench, device, memory, *part, env=preloaded(bench, **(env or VERBOSE)))
    equal(lines[0], errno, f"what the program saw of {memory}, with the library")
    in_order(said, "peermr-preload: ibv_reg_mr", *words)
    quiet = {name: value for name, value in (env or {}).items() if name not in VERBOSE}
    lines, said = plain(bench, device, memory, *part, env=preloaded(bench, **quiet))
    equal((lines[0], said), (errno, ""), f"{memory}, silently")


def pool(bench):
    """The file that programs map p2pmem by."""
    return f"{bench.p2pmem()}/allocate"


# Soft-RoCE


@test(PAIR)
def a_program_on_p2pmem(bench):
    """EFAULT without the library; with it, and PEERMR_WHOLE_PAGES=1, a region through which bytes go."""
    free = bench.free_p2pmem()
    memory = f"p2pmem={pool(bench)}"
    lines, _ = plain(bench, "rxe0", memory)
    equal(lines, [EFAULT, "libpeermr not loaded"], "what the program saw without the library")
    lines, said = plain(bench, "rxe0", memory, env=preloaded(bench, **VERBOSE, **VOUCHED))
    works(lines, 256 * KIB)
    in_order(said, "ibv_reg_mr of 262144 bytes at 0x", "on rxe0 failed", "Bad address",
             f"it is p2pmem of {bench.server.bdf('nvme0')}", "method onDemand")
    lines, said = plain(bench, "rxe0", memory, 8 * KIB, 20000, env=preloaded(bench, **VOUCHED))
    works(lines, 20000)
    equal(said, "", "what is said when nobody asks")
    equal((bench.regions(), bench.free_p2pmem()), (0, free), "regions and free p2pmem afterwards")


@test(PAIR)
def whole_pages_are_promised(bench):
    """Soft-RoCE would put bytes elsewhere and report success: refused unless whole pages are promised and possible."""
    memory = f"p2pmem={pool(bench)}"
    refused(bench, "rxe0", memory, "would move data of this memory wrongly", "multiple of 4096",
            "PEERMR_WHOLE_PAGES=1")
    both = {**VERBOSE, **VOUCHED}
    refused(bench, "rxe0", memory, "begins in between", env=both, part=(512, 4096))
    bench.later(lambda: bench.server.run("ip link set eth0 mtu 4200"))
    bench.must(bench.server, "ip link set eth0 mtu 1500")
    refused(bench, "rxe0", memory, "packets of 4096 bytes", "no port with that MTU", env=both)
    equal(bench.regions(), 0, "the regions that are registered afterwards")


@test(PAIR)
def what_it_leaves_alone(bench):
    """Memory of the host costs nothing; what PeerMR cannot register either keeps its errno."""
    lines, said = plain(bench, "rxe0", "host", 100, 5000, env=preloaded(bench, **VERBOSE))
    works(lines, 5000, loaded="not loaded")
    equal(said, "", "what is said of a registration that works")
    refused(bench, "rxe0", "nothing", "not all of it is mapped")
    refused(bench, "rxe0", f"mixed={pool(bench)}", "begin in p2pmem of", "go on in memory of the host")
    refused(bench, "rxe0", "udmabuf", "rxe0 imports no dma-bufs")
    refused(bench, "rxe0", "heap", "rxe0 imports no dma-bufs")
    limit = "ulimit -l 64; setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock"
    for env in ({}, preloaded(bench)):
        words = " ".join(f"{name}={value}" for name, value in env.items())
        result = bench.run(bench.server, f"{limit} env {words} {program(bench)} rxe0 host")
        equal(result.stdout.splitlines()[0], "refused 12", "beyond the lock limit")
    equal(bench.regions(), 0, "the regions that are registered afterwards")


@test(PAIR)
def a_libibverbs_of_another_name(bench):
    """A wheel's own libibverbs, which only the objects beside it see, is the one that is asked, and that works."""
    made = program(bench, "plain.so", flags=("-shared", "-fPIC", "-Dmain=plain_main", "-Wl,-rpath,$ORIGIN"))
    # Further providers would bring the libibverbs of the system, and hide that the other one was not found.
    words = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /etc/libibverbs.d && exec "$@"', "sh",
             "python3", Path(__file__).with_name("renamed_verbs.py"), bench.scratch, made, "rxe0"]
    memory = f"p2pmem={pool(bench)}"
    for env, first in ((None, EFAULT), (preloaded(bench), EFAULT)):
        result = bench.run(bench.server, [*words, memory], 60, env)
        equal((result.code, result.stdout.splitlines()[:1]), (0, [first]), f"what the program saw with {env}")
    result = bench.run(bench.server, [*words, memory], 60, preloaded(bench, **VERBOSE, **VOUCHED))
    works(result.stdout.splitlines(), 256 * KIB)
    in_order(result.stderr, "ibv_reg_mr of 262144 bytes", "method onDemand")
    result = bench.run(bench.server, [*words, "host", 100, 5000], 60, preloaded(bench, **VERBOSE))
    works(result.stdout.splitlines(), 5000, loaded="not loaded")
    equal(bench.regions(), 0, "the regions that are registered afterwards")


# perftest: a program that others wrote


def write_bandwidth(bench, env=None, iterations=40):
    """Run ib_write_bw, whose server maps p2pmem and registers it; both results."""
    words = ["ib_write_bw", "-d", "rxe0", "-m", 4096, "-s", 64 * KIB, "-n", iterations, "-F"]
    pattern = bench.scratch / "pattern"
    pattern.write_text("0x600df00d")
    server = bench.start(bench.server, [*words, f"--mmap={pool(bench)}", "--mmap-offset=0"], env)
    bench.settles(lambda: not server.running or "LISTEN" in bench.must(bench.server, "ss -ltn"), True,
                  "whether ib_write_bw listens or has ended")
    client = bench.run(bench.client, [*words, f"--payload_file_path={pattern}", bench.server.address], 90)
    return server.wait(30), client


@test(PAIR)
def perftest(bench):
    """ib_write_bw fails on p2pmem; the same command with the library works, and its bytes are there."""
    count = bench.free_p2pmem()
    marking = ["python3", Path(__file__).with_name("pool_tool.py"), pool(bench), count]
    bench.must(bench.server, [*marking, "mark"])
    server, _ = write_bandwidth(bench)
    check(server.code != 0, "ib_write_bw registers p2pmem without the library")
    in_order(server.stdout + server.stderr, "Couldn't allocate MR")
    before = received(bench)
    server, client = write_bandwidth(bench, preloaded(bench, **VERBOSE, **VOUCHED))
    equal((server.code, client.code), (0, 0), "the exit codes with the library")
    in_order(server.stderr, "peermr-preload: ibv_reg_mr", "Bad address", "p2pmem of", "onDemand")
    figures = re.search(r"^\s*65536\s+40\s+[\d.]+\s+([\d.]+)", client.stdout, re.MULTILINE)
    check(figures and float(figures[1]) > 0, "there is no line of figures for 40 times 64 KiB")
    packets = received(bench) - before
    check(packets >= 40 * 16, f"{packets} packets came, for 40 messages of 16 pages each")
    print(f"     ib_write_bw into p2pmem: {figures[1]} MiB/s", flush=True)
    counted = bench.must(bench.server, [*marking[:1], Path(__file__).with_name("pool_pattern.py"),
                                        pool(bench), count, "0df00d60"])
    equal(counted.split(), ["pages", "16"], "the pages of p2pmem that are full of the client's pattern")
    equal((bench.regions(), bench.free_p2pmem()), (0, count), "regions and free p2pmem afterwards")


def received(bench):
    """How many packets rxe0 of the server has taken."""
    return int(bench.must(bench.server, "cat /sys/class/infiniband/rxe0/ports/1/hw_counters/rcvd_pkts"))


@test(TOOL, last=True)
def p2pmem_whose_driver_went(bench):
    """A mapping outlives its pool: it is told from the pool that came back in its place."""
    address = bench.server.bdf("near")
    for what in ("unbound", "rebound"):
        refused(bench, "rxe0", f"{what}=/sys/bus/pci/devices/{address}/p2pmem/allocate",
                f"the p2pmem of {address} that is mapped there is gone", env={**VERBOSE, **VOUCHED})


# The lab HCA


@test(HCA)
def buffers(bench):
    """A mapped dma-buf is found by its descriptor, registered, and bytes go both ways, by real DMA."""
    for memory in ("udmabuf", "heap"):
        lines, _ = plain(bench, "labhca0", memory)
        equal(lines, [EFAULT, "libpeermr not loaded"], f"{memory} without the library")
        for part in ((0, 16 * KIB), (5000, 12345)):
            lines, said = plain(bench, "labhca0", memory, *part, env=preloaded(bench, **VERBOSE))
            works(lines, part[1])
            in_order(said, "it is a dma-buf", "method dmaBuf")
    refused(bench, "labhca0", "udmabuf-closed", "no descriptor of it open any more",
            "keep the descriptor open")
    refused(bench, "labhca0", "udmabuf-reading", "mapped for reading only")
    equal(bench.regions(), 0, "the regions that are registered afterwards")
    no_trouble(bench)


@test(HCA)
def a_program_on_p2pmem_by_dma(bench):
    """On a device that pages on demand a drive's memory needs no promise of whole pages; a far drive's is explained."""
    near, far = (f"/sys/bus/pci/devices/{bench.server.bdf(name)}/p2pmem/allocate"
                 for name in ("near-drive", "far-drive"))
    lines, _ = plain(bench, "labhca0", f"p2pmem={near}", 0, 8 * KIB)
    equal(lines, [EFAULT, "libpeermr not loaded"], "what the program saw without the library")
    for part in ((0, 8 * KIB), (5000, 3001)):
        lines, said = plain(bench, "labhca0", f"p2pmem={near}", *part, env=preloaded(bench, **VERBOSE))
        works(lines, part[1])
        in_order(said, f"it is p2pmem of {bench.server.bdf('near-drive')}", "method onDemand")
    refused(bench, "labhca0", f"p2pmem={far}", f"refuses DMA between labhca0 and {bench.server.bdf('far-drive')}",
            "meet nowhere below the root complex", part=(0, 8 * KIB))
    equal(bench.regions(), 0, "the regions that are registered afterwards")
    no_trouble(bench)


@test(HCA)
def a_bar_by_its_address(bench):
    """A mapping of a BAR has no pages: the explanation leads to vfio's dma-buf."""
    bar = f"/sys/bus/pci/devices/{bench.server.bdf('near')}/resource2"
    refused(bench, "labhca0", f"bar={bar}", f"BAR 2 of {bench.server.bdf('near')}", "has no pages to pin",
            "vfio-pci")
    lines, _ = plain(bench, "labhca0", "host", 0, 4 * KIB, env=preloaded(bench))
    works(lines, 4 * KIB, loaded="not loaded")


@test(HCA)
def a_vfio_bar_by_its_address(bench):
    """A BAR that a program has mapped for itself is registered where it is: the same bytes as by its dma-buf."""
    near, far, mate = (vfio(bench, name) for name in ("near", "far", "mate"))
    lines, _ = plain(bench, "labhca0", f"vfio={near}")
    equal(lines, [EFAULT, "libpeermr not loaded"], "what the program saw without the library")
    same = ["by address, by descriptor: equal", "by descriptor, by address: equal"]
    for memory in (f"vfio={near}", f"vfio-two={near},{far}"):
        named = {"PEERMR_PROVIDER": near} if "two" in memory else {}
        for part in ((0, 8 * KIB), (5000, 3001)):
            lines, said = plain(bench, "labhca0", memory, *part, "descriptor",
                                env=preloaded(bench, **VERBOSE, **named))
            equal([line for line in lines if line.startswith("by ")], same, f"what {memory} showed both ways")
            works([line for line in lines if not line.startswith("by ")], part[1])
            in_order(said, f"it is a dma-buf of {near}", "method dmaBuf")
    refused(bench, "labhca0", f"vfio-two={near},{far}", "may be that of each of", near, far,
            "name the function as the memory's provider")
    refused(bench, "labhca0", f"vfio-two={far},{mate}", "may be that of each of", far, mate)
    refused(bench, "labhca0", f"vfio-closed={near}", "BAR 2 of a vfio device is mapped", "no descriptor of the device")
    refused(bench, "labhca0", f"vfio-other={near},{far}", "may be that of each of", near, far)
    refused(bench, "labhca0", f"vfio-half={near}", "not all of it is mapped|nothing is mapped at")
    refused(bench, "labhca0", f"vfio-pieces={near}", "several mappings of vfio's", "register each mapping by itself")
    refused(bench, "labhca0", f"vfio-reading={near}", "mapped for reading only")
    # Its group has another function, which may have been open as well.
    refused(bench, "labhca0", f"vfio={far}", "may be that of each of", far, mate)
    refused(bench, "labhca0", f"vfio={far}", f"refuses DMA between labhca0 and {far}", part=(0, 8 * KIB),
            env={**VERBOSE, "PEERMR_PROVIDER": far})
    for named, words in ((far, "is none of the devices whose descriptors this process has open"),
                         ("0000:7f:00.0", "there is no PCI function 0000:7f:00.0")):
        refused(bench, "labhca0", f"vfio={near}", words, env={**VERBOSE, "PEERMR_PROVIDER": named})
    equal(bench.regions(), 0, "the regions that are registered afterwards")
    no_trouble(bench)
