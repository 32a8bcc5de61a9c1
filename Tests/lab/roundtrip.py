# SPDX-License-Identifier: Apache-2.0
"""Transfers as tests need them: whole ones that are looked at, and ones that go on for long."""
from checks import check, equal, noise, objects, same_bytes, sha256

MIB = 1 << 20
BIG_AT = 4 * MIB        # where on the drive big files go


def round_trip(bench, server, size, *, offset=0, at=None, way="bytesPeerToPeer", options=(),
               seed=None):
    """Send a file, look at the drive from outside, fetch it, and check every byte and figure.

    `offset` is what the client asks for, `at` where that is on the drive. What stands before and
    behind the file on the drive, in its last block too, must stay.
    """
    at = offset if at is None else at
    before, margin = min(at, 65536), 65536
    old = bench.fill(at - before, before + size + margin, seed=size)
    data = noise(size, seed or size + 1)
    path = bench.file("sent", data)
    told = len(objects(server.process.stdout()))
    words = ("--offset", offset, *options)

    sent = bench.put(path, *words)
    equal(sent.code, 0, f"the exit code of put of {size} bytes")
    new = bench.drive(at - before, before + size + margin)
    same_bytes(new[:before], old[:before], "what stands on the drive before the file")
    same_bytes(new[before:before + size], data, f"the file of {size} bytes on the drive")
    same_bytes(new[before + size:], old[before + size:], "what stands on the drive behind the file")

    back = bench.scratch / "back"
    back.unlink(missing_ok=True)
    fetched = bench.get(back, size, *words)
    equal(fetched.code, 0, f"the exit code of get of {size} bytes")
    same_bytes(back.read_bytes(), data, f"the file of {size} bytes that came back")
    check_outcome(sent, "put", data, way, verified=True)
    check_outcome(fetched, "get", data, way, verified=None)
    for event, verb in zip(server.transfers(told + 3)[told:], ("put", "get", "get")):
        check_event(event, verb, size, way)


def check_outcome(result, verb, data, way, verified):
    """Check the JSON of a client."""
    found = objects(result.stdout)
    equal(len(found), 1, f"the number of outcomes of {verb}")
    expected = {"operation": verb, "bytes": len(data), "nic": "software", "verified": verified,
                "memory": "p2pmem" if way == "bytesPeerToPeer" else "host",
                "method": "onDemand" if way == "bytesPeerToPeer" else "pinned",
                "bytesPeerToPeer": 0, "bytesBounced": 0,
                "sha256": sha256(data)}
    if way in expected:
        expected[way] = len(data)
    found = found[0]
    check(found.pop("seconds", 0) > 0, f"the seconds of {verb} are not above 0")
    equal(found, expected, f"the outcome of {verb}")


def check_event(event, verb, size, way):
    """Check the JSON that the server prints for one transfer."""
    event = dict(event)
    check(event.pop("seconds", 0) > 0, f"the server's seconds of {verb} are not above 0")
    check(event.pop("client", ""), "the server does not name the client")
    expected = {"event": "transfer", "operation": verb, "bytes": size, "complete": True,
                "bytesPeerToPeer": 0, "bytesBounced": 0, "bytesHost": 0, "bytesUnknown": 0, "error": None,
                "origin": None}
    expected[way] = size
    equal(event, expected, f"what the server told of {verb}")


def begin(bench, verb, *words, size=160 * MIB):
    """Start a transfer that is too big to be over soon, and wait until it moves."""
    if verb == "put":
        path = bench.scratch / "big"
        with open(path, "wb") as file:
            file.write(noise(MIB, 301))
            file.truncate(size)
        words = ("--no-verify", path, *words)
    else:
        words = ("--length", size, *words)
    command = [bench.program, verb, "--connect", bench.server.address, "--offset", BIG_AT,
               "--progress", *words]
    process = bench.start(bench.client, command)
    process.wait_for(r" [2-9] %| [1-9]\d %", 40)
    return process


def pid(bench, host):
    """The number of the one nic-to-nvme that runs on a host."""
    return bench.must(host, ["pgrep", "-x", "nic-to-nvme"]).strip()
