#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judge PeerMR by the kernel: boot topologies, move data between their drives, compare.

    oracle.py --programs DIR [--kernel NAME] [--count N] [--hca N] [--grown N] [--nvmet N] [--seed S]
              [--only PATTERN] [--list]

DIR holds peermr, and the kernel is one of the lab's. Each piece of topology of a machine is a
line; the last line is `N passed, N failed`, and the exit code is 0 only when none failed. A
disagreement shows the tree, both verdicts and the seed.
"""
import argparse
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Examples" / "lab"))
# Last: some modules here and there have one name.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
from peerlab import BUILT, LabError             # noqa: E402
from patterns import pattern                    # noqa: E402
from peerlab import signals                     # noqa: E402
import fixed_topologies                         # noqa: E402
import nvmet                                    # noqa: E402
import random_qemu                              # noqa: E402
import synthetic                                # noqa: E402
from compare import Comparison                  # noqa: E402
from machine import Machine, interrogate        # noqa: E402

# By kernel: machines drawn when no number is asked for, those with HCAs, machines in memory, and targets.
_DRAWN = {"new": (3, 1, 16, 2), BUILT: (1, 0, 4, 0)}


def fixed_machines(kernel):
    """The fixed list: the same pieces of tree on every kind of machine."""
    def one(name, kernel=kernel, **more):
        return Machine(name, scenes=fixed_topologies.fixed(), kernel=kernel, **more)
    def hcas(name, **more):
        return Machine(f"HCAs, {name}", scenes=fixed_topologies.fixed_with_hcas(), kernel=kernel, **more)
    machines = [one("Intel"), one("AMD", cpu="EPYC"), one("passthrough", iommu="iommu=pt"),
                one("translated", iommu="translating IOMMU")]
    if kernel == BUILT:
        return machines
    return [*machines, one("old kernel", kernel="stable"), hcas("Intel"), hcas("AMD", cpu="EPYC"),
            hcas("AMD translated", cpu="EPYC", iommu="translating IOMMU")]


class Run:
    """Counts, and says what is found."""

    def __init__(self, programs):
        self._programs = programs
        self.passed = self.failed = self.pairs = self.unknown = self.checks = 0
        self.ways = self.used = 0

    def machine(self, machine):
        """Boot one machine and compare all its pairs."""
        began = time.monotonic()
        try:
            testimony = interrogate(machine, self._programs)
        except LabError as error:
            self.failed += 1
            say(f"FAIL {machine.title}: it could not be asked")
            say(indented(str(error)))
            return
        self._judge(machine, testimony, Comparison(machine, testimony), began)

    def ground(self, ground):
        """Boot one guest, and compare all pairs of the machines that grow in it."""
        began = time.monotonic()
        done = 0
        try:
            for machine, testimony in synthetic.interrogate(ground, self._programs, say):
                comparison = synthetic.GrownComparison(machine, testimony)
                self._judge(machine, testimony, comparison, began)
                began, done = time.monotonic(), done + 1
        except LabError as error:
            self.failed += len(ground.seeds) - done
            say(f"FAIL {ground.title}: seed {ground.seeds[done]} could not be asked")
            say(indented(str(error)))

    def target(self, machine):
        """Boot one machine, and compare what its NVMe over Fabrics target does."""
        try:
            outcome = nvmet.interrogate(machine, self._programs, say)
        except LabError as error:
            self.failed += 1
            say(f"FAIL {machine.title}: it could not be asked")
            say(indented(str(error)))
            return
        self._report(machine.title, outcome.pairs, outcome.faults)
        if outcome.faults:
            say(indented("\n".join(outcome.faults)))
        self.ways += outcome.pairs
        self.used += outcome.used
        say(f"     {machine.title}: {outcome.pairs} ways to a namespace, p2pmem on {outcome.used}; "
            f"{outcome.refused} namespaces not enabled, {outcome.unknown} answers unknown without privilege; "
            f"{outcome.seconds:.1f} s")

    def _judge(self, machine, testimony, comparison, began):
        faults = {name: [] for name in dict.fromkeys(pair[0] for pair in machine.pairs())}
        counts = dict.fromkeys(faults, 0)
        for (name, _, _), pair in zip(machine.pairs(), testimony.kernel["pairs"]):
            counts[name] += 1
            if found := comparison.judge(pair):
                faults[name].append((pair, found))
        for name, found in faults.items():
            self._report(f"{machine.title}: {name}", counts[name], found)
            if found:
                self._explain(machine, testimony, found)
        self._tool(machine, comparison, testimony.checks)
        self.pairs += len(testimony.kernel["pairs"])
        self.unknown += comparison.unknown
        pairs = len(testimony.kernel["pairs"])
        say(f"     {machine.title}: {pairs} pairs on Linux "
            f"{testimony.kernel['release']}, {comparison.unknown} unknown without privilege; "
            f"asked in {testimony.seconds:.1f} s of {time.monotonic() - began:.1f} s")

    def _tool(self, machine, comparison, checks):
        if not checks:
            return
        faults = [fault for check in checks for fault in comparison.check(*check)]
        self.checks += len(checks)
        self._report(f"{machine.title}: peermr check", len(checks), faults)
        if faults:
            say(indented("\n".join(faults)))

    def _report(self, name, count, faults):
        if faults:
            self.failed += 1
            say(f"FAIL {name}: {len(faults)} of {count} pairs disagree")
        else:
            self.passed += 1
            say(f"ok   {name} ({count} pairs)")

    @staticmethod
    def _explain(machine, testimony, found):
        for pair, faults in found:
            places = testimony.kernel["drives"]
            provider, client = places[pair["provider"]][0], places[pair["client"]][0]
            key = f"{provider} {client}"
            lines = [f"provider {pair['provider']} ({provider}), client {pair['client']} ({client})"]
            lines += ["  " + fault for fault in faults]
            lines += [f"  kernel: write {pair['write']}, read {pair['read']}, {pair['record']}",
                      f"  PeerMR: {testimony.privileged[key]}",
                      f"  PeerMR, unprivileged: {testimony.unprivileged[key]}"]
            say(indented("\n".join(lines)))
        say(indented(f"seed {machine.seed}\naccess control {testimony.kernel['access_control']}\n"
                     f"{machine.layout()}\n{testimony.tree}"))


def main():
    """Run what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(description="Judges PeerMR by the kernel.")
    parser.add_argument("--programs", type=Path, help="where peermr is")
    parser.add_argument("--kernel", choices=["new", BUILT], default="new", help="the machines' kernel")
    parser.add_argument("--count", type=int, metavar="N",
                        help="draw N machines, and leave the fixed list out")
    parser.add_argument("--hca", type=int, metavar="N",
                        help="draw N machines with lab HCAs, and leave the fixed list out")
    parser.add_argument("--grown", type=int, metavar="N",
                        help="grow N machines in memory, and leave the fixed list out")
    parser.add_argument("--nvmet", type=int, metavar="N",
                        help="ask the NVMe over Fabrics target of N drawn machines, and leave the fixed list out")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the first machine's seed")
    parser.add_argument("--only", default="", type=pattern, metavar="PATTERN",
                        help="the machines in whose titles this regular expression is found")
    parser.add_argument("--list", action="store_true", help="name the machines, and boot none")
    options = parser.parse_args()
    machines, grounds, targets = _chosen(options)
    if options.list:
        for machine in targets:
            print(machine.title)
        for machine in machines:
            print(f"{machine.title} ({len(machine.pairs())} pairs)")
        for ground in grounds:
            print(f"{ground.title}: seeds {', '.join(map(str, ground.seeds))}")
        return 0
    if not machines and not grounds and not targets:
        parser.error(f"no machine matches {options.only!r}; see --list")
    if not options.programs or not (options.programs / "peermr").is_file():
        parser.error("name the directory of the built peermr with --programs")
    run = Run(options.programs.resolve())
    with signals.orderly():
        for machine in machines:
            run.machine(machine)
        for ground in grounds:
            run.ground(ground)
        for machine in targets:
            run.target(machine)
    if run.ways:
        say(f"     {run.ways} ways to a namespace of an NVMe over Fabrics target, p2pmem on {run.used} of them")
    say(f"     {run.pairs} pairs compared, as root and unprivileged; {run.checks} by peermr check")
    say(f"{run.passed} passed, {run.failed} failed")
    return 1 if run.failed else 0


def _chosen(options):
    """The machines to boot, the guests in which machines grow, and the machines that are targets."""
    counts = [options.count, options.hca, options.grown, options.nvmet]
    is_default, kernel = counts == [None] * 4, options.kernel
    count, hca, grown, target = _DRAWN[kernel] if is_default else [one or 0 for one in counts]
    machines = fixed_machines(kernel) if is_default else []
    machines += [random_qemu.machine(options.seed + number) for number in range(count)]
    machines += [random_qemu.machine(options.seed + number, has_hcas=True) for number in range(hca)]
    machines = [machine if machine.kernel == "stable" else replace(machine, kernel=kernel) for machine in machines]
    return ([machine for machine in machines if re.search(options.only, machine.title)],
            [ground for ground in synthetic.grounds(grown, options.seed, kernel)
             if re.search(options.only, ground.title)],
            [machine for machine in nvmet.machines(target, options.seed) if re.search(options.only, machine.title)])


def indented(text):
    """Text that belongs to the line above."""
    return "\n".join("     | " + line for line in text.splitlines() if line.strip())


def say(text):
    """Print at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
