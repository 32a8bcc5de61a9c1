# SPDX-License-Identifier: Apache-2.0
"""One machine of the oracle: booted once, asked for every pair."""
import json
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from peerlab import HostSpec, Lab, LabError, modules

HERE = Path(__file__).resolve().parent
_VIOMMU = ["-machine", "kernel-irqchip=split", "-device", "intel-iommu,intremap=on"]
IOMMU = {
    "no IOMMU": ([], ""),
    "iommu=pt": (_VIOMMU, "intel_iommu=on iommu=pt"),
    "translating IOMMU": (_VIOMMU, "intel_iommu=on iommu.passthrough=0"),
}
# Numbers of nobody: a user without privilege.
UNPRIVILEGED = "setpriv --reuid 65534 --regid 65534 --clear-groups --"


@dataclass
class Machine:
    """What is booted: a processor, a kernel, an IOMMU, and pieces of tree side by side."""

    name: str
    cpu: str = "Skylake-Server"
    kernel: str = "new"
    iommu: str = "no IOMMU"
    scenes: list = field(default_factory=list)
    seed: int = 0

    @property
    def title(self):
        """The machine in words."""
        return f"{self.name}: {self.cpu}, {self.iommu}, kernel {self.kernel}"

    def pairs(self):
        """Pairs of drives: all within a scene, and the first drives of all scenes."""
        found = [(scene.name, provider, client)
                 for scene in self.scenes for provider in scene.drives for client in scene.drives]
        first = {scene.name: scene.drives[0] for scene in self.scenes if scene.drives}
        found += [("across", provider, client) for here, provider in first.items()
                  for there, client in first.items() if here != there]
        found += self._hca_pairs()
        providers = {node["name"] for scene in self.scenes for node in _flat(scene.nodes)
                     if node["type"] == "nvme" and node.get("cmb")}
        return [pair for pair in found if pair[1] in providers]

    def _hca_pairs(self):
        """The drives and HCAs within a scene, and across from each scene to the next: an HCA is slow."""
        found = [(scene.name, provider, client)
                 for scene in self.scenes for provider in scene.drives for client in scene.hcas]
        ring = [scene for scene in self.scenes if scene.hcas]
        return found + [("HCA across", here.drives[0], there.hcas[0])
                        for here, there in zip(ring, ring[1:] + ring[:1]) if here is not there]

    def layout(self):
        """The tree as the lab takes it, for a report."""
        return f"layout {json.dumps([node for scene in self.scenes for node in scene.nodes])}"

    def spec(self, scratch, programs):
        """What the lab is to boot."""
        qemu, append = IOMMU[self.iommu]
        nodes = [node for scene in self.scenes for node in scene.nodes]
        return HostSpec("oracle", kernel=self.kernel, cpu=self.cpu, layout=nodes, modules=["nvme"],
                        share=[programs], writable=[scratch], qemu=list(qemu), append=append,
                        labhca=any(scene.hcas for scene in self.scenes))


@dataclass
class Testimony:
    """What the kernel said, and what PeerMR said in the same guest."""

    kernel: dict
    privileged: dict        # "provider client" to [map type, supported, distance, findings]
    unprivileged: dict
    checks: list            # (provider, client, exit code, standard output) of `peermr check`
    tree: str
    seconds: float


def _flat(nodes):
    for node in nodes:
        yield node
        yield from _flat(node.get("children", []))


@contextmanager
def scratch():
    """A directory that goes with the run."""
    path = Path(tempfile.mkdtemp(prefix="peermr-oracle-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def interrogate(machine, programs, checks=4):
    """Boot the machine, ask all, and return the Testimony; LabError when that cannot be done."""
    with scratch() as place, Lab() as lab:
        host = lab.boot(machine.spec(place, programs))[0]
        controls = {host.bdf(name): bits for scene in machine.scenes
                    for name, bits in scene.access_control.items()}
        question, answer = place / "question.json", place / "answer.json"
        question.write_text(json.dumps({
            "access_control": controls, "seed": machine.seed,
            "drives": [name for scene in machine.scenes for name in scene.drives],
            "hcas": {name: host.bdf(name) for scene in machine.scenes for name in scene.hcas},
            "tool": str(hca_tool(place)) if host.spec.labhca else None,
            "pairs": [pair[1:] for pair in machine.pairs()]}))
        result = host.run(["python3", HERE / "kernel.py", question, answer], timeout=240,
                          check=True)
        kernel = json.loads(answer.read_text())
        privileged, unprivileged = routes(host, programs), routes(host, programs, UNPRIVILEGED)
        asked = check(host, machine, programs, kernel, checks)
        return Testimony(kernel, privileged, unprivileged, asked,
                         host.run("lspci -tv").stdout, result.seconds)


def hca_tool(place):
    """The program that has an HCA move bytes by script, in a directory that the guest sees."""
    made = modules.made(HERE.parent / "lab" / "hca", ["make"], ["hca-tool"])
    return shutil.copy(made / "hca-tool", place)


def routes(host, programs, prefix=""):
    """What PeerMR says of every pair: "provider client" to [map type, supported, distance, findings]."""
    command = f"{prefix} {programs}/peermr topology --pairs"
    result = host.run(command, check=True)
    try:
        pairs = json.loads(result.stdout)["pairs"]
    except ValueError as error:
        raise LabError(f"{command} printed no JSON: {result.stdout[:200]!r}") from error
    return {f"{pair['provider']} {pair['client']}":
            [pair["mapType"], pair["supported"], pair["distance"],
             [f"{found['code']} {found['device'] or ''}" for found in pair["findings"]]]
            for pair in pairs}


def check(host, machine, programs, kernel, count):
    """Ask the tool itself for pairs spread over all: it starts anew for each."""
    if not (programs / "peermr").is_file():
        return []
    pairs = machine.pairs()
    chosen = pairs[::max(1, len(pairs) // count)][:count]
    line = ""
    for index, (_, provider, client) in enumerate(chosen):
        address = kernel["drives"][provider][0]
        # A client has several names: its address, and that of its block or RDMA device.
        other = kernel["drives"][client][index % 2]
        line += f"{programs}/peermr check {address} {other} --json; echo \"= $?\"\n"
    said = host.run(line).stdout
    answers = []
    for (_, provider, client), text in zip(chosen, said.split("\n= ")):
        answers.append((provider, client, text))
    codes = [part.split("\n", 1)[0] for part in said.split("\n= ")[1:]]
    return [(provider, client, int(code), text.split("\n", 1)[1] if index else text)
            for index, ((provider, client, text), code) in enumerate(zip(answers, codes))]
