# SPDX-License-Identifier: Apache-2.0
"""The Python module on a real kernel, with pyverbs: what is registered, what a NIC writes there, how it fails."""
from pathlib import Path

from checks import check, equal, here, in_order
from registry import ENGINES, test

_ROOT = Path(__file__).resolve().parents[2]
_EXAMPLE = _ROOT / "Examples" / "python-register" / "python-register"

# Leases of a cache on p2pmem, a proof, and what is refused.
_SCRIPT = """
import sys, peermr
from pyverbs.device import Context
from pyverbs.pd import PD
from peermr import Access, Status
device, provider = sys.argv[1:]
access = Access.LOCAL_WRITE | Access.REMOTE_WRITE | Access.REMOTE_READ
with Context(name=device) as context, PD(context) as pd:
    address, owner = peermr._verbs.domain_address(pd), peermr._verbs.context_address(context)
    with peermr.P2PMem(provider, 65536) as memory, peermr.Cache() as cache:
        with memory.register(pd, access) as region:
            print(region.method.name, region.owner.name, region.provider, region.prove(4096).state.name)
        with cache.p2pmem(pd, memory, access) as request:
            for turn in range(3):
                with request.lease(4096, 8192) as lease:
                    assert lease.lkey and lease.alignment == 4096 and lease.path_mtu == 4096
            found = cache.statistics()
            print("leases", found["misses"], found["hits"])
            with cache.reader() as reader:
                keys = reader.find(request, 4096, 8192)
                assert (keys.lkey, keys.length, keys.alignment) == (lease.lkey, 8192, 4096)
                print("ended", cache.invalidate(memory, 0, 4096), cache.invalidate(memory, 4096, 1),
                      reader.find(request, 4096, 8192))
            request.lease(0, 4096).release()
            print("provider", cache.invalidate_provider(provider), cache.invalidate(memory))
        cache.release_domain(pd)
    for turn in range(1000):
        assert peermr._verbs.domain_address(pd) == address and peermr._verbs.context_address(context) == owner
    try:
        peermr.Memory("udmabuf:64K").register(pd, access)
    except peermr.PeerMRError as error:
        print("refused", error.code is Status.NOT_SUPPORTED, error.errno)
    try:
        peermr.check(context, "ffff:00:00.0")
    except peermr.PeerMRError as error:
        print("missing", error.code is Status.NOT_FOUND)
for call in (lambda: peermr.Memory("host:4K").register(pd), lambda: peermr.check(context, provider)):
    try:
        call()
    except peermr.PeerMRError as error:
        print("closed", error.code is Status.INVALID_ARGUMENT)
print("ailments", sorted({ailment["code"] for ailment in peermr.doctor()} & {"onlySoftwareDevices"}))
"""


def _environment(bench):
    """Where the module and the library are installed, which the guests see at the same path."""
    prefix = bench.scratch / "installed"
    if not prefix.exists():
        here([_ROOT / "Packaging" / "install", "--prefix", prefix, "--programs", Path(bench.tool).parent])
    return {"PYTHONPATH": f"{prefix}/lib/python3/dist-packages", "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": f"{prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


@test(ENGINES)
def python_register(bench):
    """The example writes a page into p2pmem by pyverbs, and it arrives; what cannot be is a sentence."""
    program, env, drive = bench.scratch / "python-register", _environment(bench), bench.server.bdf("nvme0")
    program.write_text(_EXAMPLE.read_text())
    before = (bench.regions(), bench.free_p2pmem())
    for memory, method in ((f"p2pmem:{drive}:64K", "on_demand"), ("host:64K", "pinned")):
        result = bench.run(bench.server, ["python3", program, "rxe0", memory, "--gid", "1"], env=env)
        equal(result.code, 0, f"the exit code with {memory}: {result.stdout}{result.stderr}")
        in_order(result.stdout, f"region: {method}, 65536 bytes", "a page written by RDMA: right")
    for memory, words in (("nothing:4K", "python-register: "), ("udmabuf:64K", "python-register: ")):
        result = bench.run(bench.server, ["python3", program, "rxe0", memory], env=env)
        equal(result.code, 1, f"the exit code with {memory}")
        check(result.stderr.startswith(words) and "Traceback" not in result.stderr, f"it said {result.stderr!r}")
    equal((bench.regions(), bench.free_p2pmem()), before, "the regions and the free p2pmem afterwards")


@test(ENGINES)
def python_module(bench):
    """Leases of a cache, a proof, refusals, and the doctor's answers, over a domain of pyverbs."""
    program, drive = bench.scratch / "module.py", bench.server.bdf("nvme0")
    program.write_text(_SCRIPT)
    before = (bench.regions(), bench.free_p2pmem())
    result = bench.run(bench.server, ["python3", program, "rxe0", drive], env=_environment(bench))
    equal(result.code, 0, f"the exit code: {result.stdout}{result.stderr}")
    equal(result.stdout.splitlines(), [
        f"ON_DEMAND PEER {drive} PROVEN", "leases 1 2", "ended 0 1 None", "provider 1 0", "refused True 95", "missing True", "closed True", "closed True",
        "ailments ['onlySoftwareDevices']"], "what it said")
    equal((bench.regions(), bench.free_p2pmem()), before, "the regions and the free p2pmem afterwards")
