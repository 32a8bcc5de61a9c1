#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Look at the machine code of the loops that send and receive, and of a hit of the registration cache: nothing in them
allocates or counts references.

    machine_code.py --programs DIR

DIR holds ping-pong, registration-cost and c-abi, built with optimisation. From each loop all functions of this project
are followed that it calls; none of them may call the allocator, the runtime's reference counting or its checks for
exclusive access, or take a lock. The last line is `N passed, N failed`.
"""
import argparse
import re
import subprocess
import sys
from pathlib import Path

# A loop, as its mangled name begins: once per message it must do nothing of the below.
LOOPS = {
    "the messages of ping-pong": r"\$s8PingPong8EndpointV8exchange",
    "the reads of ping-pong": r"\$s8PingPong8EndpointV(4read|5ready)",
    "the pings of ping-pong --cm": r"\$s8PingPong0A8EndpointV4ping",
    "the pongs of ping-pong --cm": r"\$s8PingPong0A8EndpointV4pong",
}
# A lookup that finds a region, and the end of its lease.
HITS = {
    "a lease of the registration cache": r"\$s6PeerMR17RegistrationCacheC5lease_2at",
    "the end of a lease": r"\$s6PeerMR11RegionLeaseVfD",
    "a lease by address": r"\$s6PeerMR17RegistrationCacheC5lease_2at5countAA11RegionLeaseVAA14AddressRequest",
    "a lookup of the cache's reader": r"\$s6PeerMR11CacheReaderV4keys",
}
# The same in the C library, with the return of a lease.
C_HITS = {
    "a lease in C": "peermr_cache_lease",
    "a lease by address in C": "peermr_cache_lease_address",
    "the end of a lease in C": "peermr_lease_release",
    "a lookup of a reader in C": "peermr_reader_find",
}
# A lookup that finds nothing or is for nothing, and the end of a region that had ended before its last lease.
NO_HITS = re.compile(
    r"\$s6PeerMR(17RegistrationCacheC(4miss|7outside|9recognize)|10CacheStoreC6retire)"
    # In C: all that fails, the miss among it; a thread's first call, and tickets for more leases at once than ever.
    r"|\$s7PeerMRC(5lease|6refuse|11refuseChild)|enter$|refill$")
# What is made for a run, and not for a message, does these things: so the look must find them there.
COUNTER_EXAMPLE = r"\$s8PingPong10RDMACMModeV6client"
FORBIDDEN = re.compile(
    r"swift_(retain|release|bridgeObject|unknownObject|alloc|slowAlloc|dealloc|beginAccess|initStack"
    r"|getGenericMetadata|dynamicCast|weak|unowned|once)|^(malloc|calloc|realloc|free|posix_memalign|aligned_alloc)\b"
    r"|^_Zn[wa]|^_Zd[la]|^pthread_(mutex|rwlock|once)")
# What looks at a dma-buf by way of its owner makes system calls: when messages are validated, or none comes for long.
BY_THE_OWNER = re.compile(r"\$s8PingPong8EndpointV(15putThroughOwner|16takeThroughOwner|11checkMemory)")
ASIDE = re.compile(f"{BY_THE_OWNER.pattern}|{NO_HITS.pattern}")
OURS = re.compile(r"\$s(8PingPong|5Verbs|10PeerMRCore|10PeerMemory|6PeerMR|7PeerMRC|11PeerStorage)"
                  r"|peermr_|enter$|refill$")


class Program:
    """An executable, and what calls what in it."""

    def __init__(self, path):
        self.path = path
        lines = _run("nm", "--defined-only", path).splitlines()
        self.functions = {words[2] for line in lines if len(words := line.split()) == 3 and words[1] in "tT"}
        self._calls = {}

    def named(self, pattern):
        """The functions whose mangled name begins so."""
        return sorted(name for name in self.functions
                      if re.match(pattern, name) and (name.endswith(("F", "fD")) or name == pattern))

    def calls(self, function):
        """What a function calls, or jumps to as its last act."""
        if function not in self._calls:
            text = _run("objdump", "-d", "--no-show-raw-insn", f"--disassemble={function}", self.path)
            found = set(re.findall(r"\b(?:call|jmp)q?\s+[0-9a-f]+ <([^>+]+)(?:@[^>]*)?>", text))
            self._calls[function] = found - {function}
            if f"<{function}>:" not in text:
                raise LookupError(f"objdump does not find {function}")
        return self._calls[function]

    def offences(self, root):
        """Pairs of caller and callee that must not be, from `root` on down."""
        found, seen, left = [], set(), [root]
        while left:
            caller = left.pop()
            if caller in seen:
                continue
            seen.add(caller)
            for callee in self.calls(caller):
                if FORBIDDEN.search(callee):
                    found.append((caller, callee))
                elif OURS.match(callee) and not ASIDE.match(callee) and callee in self.functions:
                    left.append(callee)
        return found, seen


def _run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout


def main():
    """Run what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(description="Looks at the machine code of loops.")
    parser.add_argument("--programs", type=Path, required=True, help="where the programs are")
    programs = parser.parse_args().programs
    program, cache = Program(programs / "ping-pong"), Program(programs / "registration-cost")
    library = Program(programs / "c-abi")
    passed = failed = 0
    looks = [(program, *loop) for loop in LOOPS.items()] + [(cache, *hit) for hit in HITS.items()]
    looks += [(library, *hit) for hit in C_HITS.items()]
    for program_of, what, pattern in looks:
        roots = program_of.named(pattern)
        sentences = [] if roots else ["the program has no such function"]
        looked = 0
        for root in roots:
            found, seen = program_of.offences(root)
            looked += len(seen)
            sentences += [f"{caller} calls {callee}" for caller, callee in found]
        passed, failed = passed + (not sentences), failed + bool(sentences)
        print(f"ok   {what}: {looked} functions" if not sentences else f"FAIL {what}: " + "; ".join(sentences))
    seen = [program.offences(root)[0] for root in program.named(COUNTER_EXAMPLE)]
    is_seen = bool(seen) and all(seen)
    passed, failed = passed + is_seen, failed + (not is_seen)
    print(("ok   " if is_seen else "FAIL ") + "what is made for a run allocates, and that is seen")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
