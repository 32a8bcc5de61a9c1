# SPDX-License-Identifier: Apache-2.0
"""The fixed topologies: pieces of PCI tree that stand side by side in one machine.

QEMU gives access control services (ACS) to its root ports only: not to the ports of its x3130
switch, and to no endpoint. The kernel's decision does not ask what kind of port a bridge is. So a
root port stands in where a test needs ACS on a downstream port (below a real upstream port) or on
an upstream port (above a bus whose ports are functions of one device). No device of QEMU's is on
the kernel's list of host bridges: that is for the tests of PCITopology alone.
"""
from dataclasses import dataclass, field

REQUEST, COMPLETION = 0x04, 0x08        # they redirect, as does egress control, which QEMU lacks
HARMLESS = 0x01 | 0x10                  # source validation, upstream forwarding: they do not count


@dataclass
class Scene:
    """A piece of tree: nodes on the root bus, the names of its drives and HCAs, the ACS of its ports by name."""

    name: str
    nodes: list
    drives: list
    access_control: dict = field(default_factory=dict)
    hcas: list = field(default_factory=list)


def nvme(name, **more):
    """A drive with a controller memory buffer."""
    return {"type": "nvme", "name": name, "cmb": 2, "drive": {"size": 8}, **more}


def hca(name, **more):
    """A lab HCA."""
    return {"type": "edu", "name": name, **more}


def root_port(*children, **more):
    """A root port, or what stands in for a port with ACS."""
    return {"type": "root-port", "children": list(children), **more}


def switch(*children, **more):
    """A switch of QEMU's, without ACS."""
    return {"type": "switch", "children": list(children), **more}


def functions(*children, **more):
    """Functions of one device."""
    return {"type": "function", "children": list(children), **more}


def upstream(*children, **more):
    """An upstream port of a switch, whose downstream ports are the children."""
    return {"type": "bridge", "device": "x3130-upstream", "children": list(children), **more}


def fixed():
    """The scenes of the fixed list, new at each call."""
    return [
        Scene("same switch", [root_port(switch(nvme("swa"), nvme("swb")))], ["swa", "swb"]),
        Scene("cascaded switches",
              [root_port(switch(nvme("caa"), switch(nvme("cab"), switch(nvme("cac")))))],
              ["caa", "cab", "cac"]),
        Scene("switch against root port",
              [root_port(switch(nvme("spa"))), root_port(nvme("spb"))], ["spa", "spb"]),
        Scene("two root ports", [root_port(nvme("rpa")), root_port(nvme("rpb"))], ["rpa", "rpb"]),
        Scene("on the root bus", [nvme("rba"), nvme("rbb")], ["rba", "rbb"]),
        Scene("two functions on the root bus", [functions(nvme("rfa"), nvme("rfb"))],
              ["rfa", "rfb"]),
        Scene("two functions below a root port", [root_port(functions(nvme("pfa"), nvme("pfb")))],
              ["pfa", "pfb"]),
        Scene("conventional PCI bus",
              [{"type": "bridge", "device": "pcie-pci-bridge",
                "children": [nvme("cpa", addr="1"), nvme("cpb", addr="2")]}], ["cpa", "cpb"]),
        Scene("second host bridge",
              [{"type": "host-bridge", "name": "far",
                "children": [root_port(nvme("fba")), root_port(switch(nvme("fbb"), nvme("fbc")))]}],
              ["fba", "fbb", "fbc"]),
        Scene("ACS redirect on a downstream port",
              [root_port(upstream(root_port(nvme("ada"), name="ad-port"), root_port(nvme("adb"))))],
              ["ada", "adb"], {"ad-port": REQUEST}),
        Scene("ACS without redirect on a downstream port",
              [root_port(upstream(root_port(nvme("aha"), name="ah-port"), root_port(nvme("ahb"))))],
              ["aha", "ahb"], {"ah-port": HARMLESS}),
        Scene("ACS redirect on an upstream port",
              [root_port(root_port(functions(root_port(nvme("aua")), root_port(nvme("aub"))),
                                   name="au-port"))], ["aua", "aub"], {"au-port": REQUEST}),
        Scene("ACS redirect on a root port above a switch",
              [root_port(switch(nvme("asa"), nvme("asb")), name="as-port")], ["asa", "asb"],
              {"as-port": REQUEST | COMPLETION}),
        Scene("ACS redirect on the root port of two functions",
              [root_port(functions(nvme("afa"), nvme("afb")), name="af-port")], ["afa", "afb"],
              {"af-port": COMPLETION}),
    ]


def fixed_with_hcas():
    """The scenes in which an HCA is the client of a drive's memory, new at each call."""
    return [
        Scene("HCA on the same switch", [root_port(switch(hca("hsa"), nvme("hsb")))], ["hsb"],
              hcas=["hsa"]),
        Scene("HCA and drives on cascaded switches",
              [root_port(switch(nvme("hcb"), switch(hca("hca1"), nvme("hcc"))))], ["hcb", "hcc"],
              hcas=["hca1"]),
        Scene("HCA and drive on two root ports", [root_port(hca("hpa")), root_port(nvme("hpb"))],
              ["hpb"], hcas=["hpa"]),
        Scene("HCA and drive on the root bus", [hca("hba"), nvme("hbb")], ["hbb"], hcas=["hba"]),
        Scene("HCA and drive as functions of one device",
              [root_port(functions(nvme("hfb"), hca("hfa")))], ["hfb"], hcas=["hfa"]),
        Scene("HCA and drive below a second host bridge",
              [{"type": "host-bridge", "name": "hca-far",
                "children": [root_port(hca("hda")), root_port(nvme("hdb"))]}], ["hdb"], hcas=["hda"]),
        Scene("HCA below a port with ACS redirect",
              [root_port(upstream(root_port(hca("hra"), name="hr-port"), root_port(nvme("hrb"))))],
              ["hrb"], {"hr-port": REQUEST}, ["hra"]),
    ]
