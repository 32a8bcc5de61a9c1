# SPDX-License-Identifier: Apache-2.0
"""Uses and misuses the Python module over the fake libibverbs of Tests/CFakeVerbs; see python.py."""
import ctypes
import os
import sys
import tempfile
import threading
import traceback

import peermr
from peermr import Access, Status

LOAD = ctypes.CDLL
FAKE = LOAD(os.environ["PEERMR_FAKE"])
# What is looked up in libibverbs by its handle is the real one's.
ctypes.CDLL = lambda name, *more, **options: LOAD(
    os.environ["PEERMR_FAKE"] if name == "libibverbs.so.1" else name, *more, **options)
NAME = "fake0"


def fails(code, call, *arguments, **more):
    """The call has to raise this."""
    try:
        call(*arguments, **more)
    except peermr.PeerMRError as error:
        assert error.code is code, f"{error.code} instead of {code}: {error}"
        assert error.reason and str(error) == error.message
        return error
    raise AssertionError(f"{call} did not fail")


def functions():
    """Some PCI functions of this machine."""
    place = "/sys/bus/pci/devices"
    return sorted(os.listdir(place)) if os.path.isdir(place) else []


def opened():
    """What this process has open, but for the maps, which the library keeps open to ask about addresses."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    return sorted(path for path in found if not path.endswith("/maps"))


def routes():
    """Routes and the four answers, where this machine has PCI functions."""
    assert fails(Status.INVALID_ARGUMENT, peermr.route, "nothing", "0000:00:00.0").remedy
    fails(Status.NOT_FOUND, peermr.route, "ffff:ff:1f.7", "ffff:ff:1f.7")
    fails(Status.NOT_FOUND, peermr.check, "none0", "0000:00:00.0")
    fails(Status.INVALID_ARGUMENT, peermr.check, object(), "0000:00:00.0")
    fails(Status.INVALID_ARGUMENT, peermr.check, 0, "0000:00:00.0")
    fails(Status.INVALID_ARGUMENT, peermr.check, True, "0000:00:00.0")
    for function in functions()[:1]:
        found = peermr.route(function, function)
        assert isinstance(found.outcome, peermr.Outcome) and isinstance(found.map_type, peermr.MapType) and found.reason
        found = peermr.check(NAME, function)
        for answer in (found.api, found.exporter, found.route, found.data):
            assert isinstance(answer.outcome, peermr.Outcome) and answer.reason
        assert found.findings and found.findings[0].name
    assert bool(peermr.Outcome.YES) and not peermr.Outcome.NO and not peermr.Outcome.UNKNOWN


def memory():
    """Host memory by specification: bytes, registration, ranges, and the order of closing."""
    with peermr.Context(NAME) as context, context.domain() as domain:
        with peermr.Memory("host:64K") as host:
            assert (host.kind, host.owner, host.length) == (peermr.Kind.HOST, peermr.Owner.HOST, 65536)
            assert host.address and not host.has_dmabuf and host.specification == "host:65536"
            host.write(b"abc", 100)
            assert host.read(100, 3) == b"abc" and len(host.read(65530)) == 6 and host.read(65536) == b""
            fails(Status.NOT_SUPPORTED, host.dmabuf)
            fails(Status.INVALID_ARGUMENT, host.read, 65536, 1)
            fails(Status.INVALID_ARGUMENT, host.read, -1)
            fails(Status.INVALID_ARGUMENT, host.write, b"abc", 65535)
            with host.register(domain, Access.LOCAL_WRITE | Access.REMOTE_READ, offset=4096, length=100) as region:
                assert region.kind is peermr.Kind.HOST and region.method is peermr.Method.PINNED
                assert region.address == host.address + 4096 and region.length == 100 and region.lkey
                assert region.mr and not region.bounced and region.io_address == region.address
                fails(Status.BUSY, host.close)
                fails(Status.BUSY, domain.close)
            fails(Status.INVALID_ARGUMENT, lambda: region.mr)
            region.close()
            fails(Status.INVALID_ARGUMENT, host.register, domain, offset=65536)
            fails(Status.INVALID_ARGUMENT, host.register, "no domain")
            fails(Status.INVALID_ARGUMENT, host.register, None)
            # One that is dropped is closed, and so is its memory, after it.
            host.register(domain)
            peermr.Memory("host:4K").register(domain)
            host.register(domain.address).close()
        assert host.closed
        fails(Status.INVALID_ARGUMENT, host.read)
        fails(Status.INVALID_ARGUMENT, host.register, domain)
        host.close()
    fails(Status.INVALID_ARGUMENT, lambda: domain.address)
    fails(Status.INVALID_ARGUMENT, lambda: context.address)


def specifications():
    """What is no specification says how it is to be written."""
    for text in ("", "host", "host:0", "nothing:4K", "fd:-1", "host:4K\0", "vfio:x:1"):
        assert fails(Status.INVALID_ARGUMENT, peermr.Memory, text).remedy
    assert "ibv_alloc_dm" in fails(Status.NOT_SUPPORTED, peermr.Memory, "nic:4K").remedy
    fails(Status.NOT_FOUND, peermr.Memory, "p2pmem:ffff:ff:1f.7:4K")
    fails(Status.NOT_FOUND, peermr.P2PMem, "ffff:ff:1f.7", 4096)
    fails(Status.INVALID_ARGUMENT, peermr.P2PMem, "ffff:ff:1f.7", -1)
    with tempfile.TemporaryFile() as file:
        fails(Status.INVALID_ARGUMENT, peermr.Memory, f"fd:{file.fileno()}")


def addresses():
    """Memory of the program, and what holds it."""
    buffer = (ctypes.c_ubyte * 8192)()
    with peermr.Context(NAME) as context, context.domain() as domain:
        with peermr.register_address(domain, ctypes.addressof(buffer), 8192, owner=buffer) as region:
            assert region.length == 8192 and region.reason
        fails(Status.INVALID_ARGUMENT, peermr.register_address, domain, 0, 1)
        fails(Status.INVALID_ARGUMENT, peermr.register_address, domain, ctypes.addressof(buffer), 0)
        fails(Status.INVALID_ARGUMENT, peermr.register_address, domain, ctypes.addressof(buffer), -1)
        # ctypes would take the lower half, which is an open one; and the library a text up to its NUL.
        for descriptor in (-1, 1 << 32, 1 << 31):
            fails(Status.INVALID_ARGUMENT, peermr.register_dmabuf, domain, descriptor, 0, 1)
            with peermr.Cache() as cache:
                fails(Status.INVALID_ARGUMENT, cache.dmabuf, domain, descriptor, 0, 1)
        error = fails(Status.INVALID_ARGUMENT, peermr.register_dmabuf, domain, 1 << 32, 0, 1)
        assert "4294967296" in error.reason, error
        for function in functions()[:1]:
            fails(Status.INVALID_ARGUMENT, peermr.route, function, f"{function}\0x")
        with tempfile.TemporaryFile() as file:
            fails(Status.INVALID_ARGUMENT, peermr.register_dmabuf, domain, file.fileno(), 0, 1)


def caches():
    """Leases of an arena: hits, giving back, invalidation, and the order of closing."""
    buffer = (ctypes.c_ubyte * 65536)()
    with peermr.Context(NAME) as context, context.domain() as domain, peermr.Cache(regions=8) as cache:
        with peermr.Arena(ctypes.addressof(buffer), 65536, buffer) as arena:
            with cache.arena(domain, arena, Access.LOCAL_WRITE | Access.REMOTE_WRITE) as request:
                with request.lease(0, 4096) as lease:
                    assert lease.lkey and lease.io_address == ctypes.addressof(buffer) and lease.length == 4096
                fails(Status.INVALID_ARGUMENT, lease.release)
                request.lease(0, 4096).release()
                statistics = cache.statistics()
                assert (statistics["hits"], statistics["misses"], statistics["regions"]) == (1, 1, 1)
                fails(Status.INVALID_ARGUMENT, request.lease, 65536, 1)
                fails(Status.INVALID_ARGUMENT, request.lease, -4096, 1)
                lease = request.lease(0, 4096)
                lease.invalidate()
                lease.release()
                fails(Status.BUSY, cache.close)
            with cache.addresses(domain, arenas=[arena]) as request:
                address = ctypes.addressof(buffer)
                with request.lease(address + 5, 100) as lease:
                    assert lease.lkey and (lease.io_address, lease.length) == (address + 5, 100)
                fails(Status.INVALID_ARGUMENT, request.lease, address, 65537)
                fails(Status.BUSY, arena.close)
            assert cache.invalidate_addresses(address + 100, 1) == 1
            assert cache.invalidate(arena) == 0 and cache.invalidate() == 0
        cache.release_domain(domain)
    fails(Status.INVALID_ARGUMENT, peermr.Cache, 0)
    fails(Status.INVALID_ARGUMENT, peermr.Arena, 1, 0)


def readers():
    """A reader finds what is registered, keeps it until it advances, and is its thread's; ranges are invalidated."""
    buffer = (ctypes.c_ubyte * 65536)()
    with peermr.Context(NAME) as context, context.domain() as domain, peermr.Cache() as cache, \
            peermr.Arena(ctypes.addressof(buffer), 65536, buffer) as arena, cache.arena(domain, arena) as request:
        with cache.reader() as reader:
            assert reader.find(request, 0, 4096) is None, "nothing is registered yet"
            with request.lease(0, 4096) as lease:
                keys = reader.find(request, 1024, 1024)
                assert (keys.lkey, keys.io_address, keys.length) == (lease.lkey, lease.io_address + 1024, 1024)
            request.lease(8192, 4096).release()
            assert cache.invalidate(arena, 4096, 4096) == 0, "between the two"
            assert cache.invalidate(arena, 4095, 1) == 1
            assert reader.find(request, 0, 4096) is None and reader.find(request, 8192, 4096)
            assert cache.statistics()["ended_regions"] == 1, "the reader may use it still"
            reader.advance()
            assert cache.statistics()["ended_regions"] == 0
            fails(Status.INVALID_ARGUMENT, reader.find, request, 65536, 1)
            fails(Status.INVALID_ARGUMENT, reader.find, request, -1, 1)
            said = []
            thread = threading.Thread(target=lambda: said.append(fails(Status.INVALID_ARGUMENT, reader.advance)))
            thread.start()
            thread.join()
            assert said and "thread" in said[0].reason, said
            fails(Status.BUSY, cache.close)
            with peermr.Cache() as other, other.reader() as stranger:
                fails(Status.INVALID_ARGUMENT, stranger.find, request, 0, 4096)
        fails(Status.INVALID_ARGUMENT, reader.find, request, 0, 4096)
        assert cache.invalidate(arena) == 1
        assert cache.invalidate_provider("0000:01:00.0") == 0
        for wrong in ("arena", True, 1 << 32, 1.5):
            assert fails(Status.INVALID_ARGUMENT, cache.invalidate, wrong).remedy
        fails(Status.INVALID_ARGUMENT, cache.invalidate, -1)
        fails(Status.INVALID_ARGUMENT, cache.invalidate, None, 4096)
        fails(Status.INVALID_ARGUMENT, cache.invalidate, arena, -1)
        fails(Status.INVALID_ARGUMENT, cache.invalidate_provider, "nothing")
        with tempfile.TemporaryFile() as file:
            fails(Status.INVALID_ARGUMENT, cache.invalidate, file.fileno())


def tools():
    """Without the program there is a sentence."""
    path, os.environ["PATH"] = os.environ["PATH"], "/nowhere"
    try:
        assert "peermr" in fails(Status.NOT_FOUND, peermr.doctor).reason
        fails(Status.NOT_FOUND, peermr.nvmet_check)
    finally:
        os.environ["PATH"] = path


def main():
    """Run all of it."""
    failed = 0
    tests = [routes, memory, specifications, addresses, caches, readers, tools]
    for test in tests:
        FAKE.fake_verbs_begin()
        before = opened()
        try:
            test()
            assert opened() == before, f"descriptors are left open: {opened()} instead of {before}"
            left = [kind for kind in range(12) if FAKE.fake_verbs_live(kind)]
            assert not left, f"objects of libibverbs are left: {left}"
        except Exception:                                # pylint: disable=broad-except
            failed += 1
            print(f"FAIL {test.__name__}\n{traceback.format_exc()}")
        FAKE.fake_verbs_end()
    print(f"{len(tests) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
