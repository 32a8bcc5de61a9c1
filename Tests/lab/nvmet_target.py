# SPDX-License-Identifier: Apache-2.0
"""`peermr nvmet check` on a kernel's NVMe over Fabrics target; what it does on drawn machines is the oracle's."""
from checks import check, equal
from registry import TOOL, test
from tool import NOBODY, answer, controller, parsed, peermr

_FOLDER = "/sys/kernel/config/nvmet"
_SUBSYSTEM = f"{_FOLDER}/subsystems/nqn.lab"


def _namespace(bench, number, path, switch="1"):
    """Makes a namespace; returns whether the kernel enabled it."""
    place = f"{_SUBSYSTEM}/namespaces/{number}"
    bench.must(bench.server, f"mkdir {place} && echo -n {path} > {place}/device_path && echo {switch} > {place}/p2pmem")
    return bench.run(bench.server, f"echo 1 > {place}/enable").code == 0


def _port(bench, number, transport, address):
    """Makes a port that offers the subsystem."""
    place = f"{_FOLDER}/ports/{number}"
    bench.must(bench.server, f"""
        mkdir {place} && cd {place} && echo ipv4 > addr_adrfam && echo {transport} > addr_trtype &&
        echo {address} > addr_traddr && echo {4420 + number} > addr_trsvcid && ln -s {_SUBSYSTEM} subsystems/nqn.lab""")


def _undo(bench):
    bench.server.run(f"""
        for port in {_FOLDER}/ports/*; do rm -f $port/subsystems/*; rmdir $port; done
        rmdir {_SUBSYSTEM}/namespaces/* {_SUBSYSTEM}; losetup -D; rm -f /tmp/loop /tmp/image
        modprobe -r nvmet-rdma nvmet-tcp nvmet""")


@test(TOOL)
def nvmet_check(bench):
    """The kernel's target over Soft-RoCE takes no p2pmem whatever its switch says, and what it refuses is said."""
    bench.must(bench.server, "mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config")
    missing = peermr(bench, "nvmet", "check", code=2)
    check("is not loaded here" in missing.stderr and "modprobe nvmet-rdma" in missing.stderr, missing.stderr)
    bench.later(lambda: _undo(bench))
    bench.must(bench.server, f"modprobe nvmet-rdma && mkdir {_SUBSYSTEM} && echo 1 > {_SUBSYSTEM}/attr_allow_any_host")
    loop = bench.must(bench.server, "modprobe loop && truncate -s 8M /tmp/loop /tmp/image && losetup -f --show /tmp/loop")
    near = controller(bench, bench.server.bdf("near")) + "n1"
    equal([_namespace(bench, 1, f"/dev/{near}"), _namespace(bench, 2, f"/dev/{near}", "0"),
           _namespace(bench, 3, loop.strip()), _namespace(bench, 4, "/tmp/image"),
           _namespace(bench, 5, f"/dev/{near}", bench.server.bdf("twin")),
           _namespace(bench, 6, f"/dev/../dev/{near}")],
          [True, True, False, False, False, True], "what the kernel enables")
    nowhere = answer(bench, "nvmet", "check", code=1)["answers"]
    equal([one["code"] for one in nowhere], ["noPort", "switchedOff", "drive", "drive", "disabled", "noPort"],
          "without a port")
    _port(bench, 1, "rdma", bench.server.address)
    _port(bench, 2, "tcp", bench.server.address)
    said = answer(bench, "nvmet", "check", code=1)["answers"]
    on_first = {one["namespace"]: one for one in said if one["port"] == "1"}
    equal([on_first[number]["code"] for number in "123456"],
          ["softwareDevice", "switchedOff", "drive", "drive", "disabled", "softwareDevice"], "over Soft-RoCE")
    equal({one["rdmaDevice"] for one in on_first.values()}, {"rxe0"}, "the device of the address")
    equal(on_first["6"]["blockDevice"], near, "the block device behind a path with links")
    equal([one["code"] for one in said if one["port"] == "2"][0], "transport", "over TCP")
    silent = sorted(one["namespace"] for one in said if one["silent"])
    equal(silent, ["1", "6"], "what bounces silently")
    equal(answer(bench, "nvmet", "check", code=1, prefix=NOBODY)["answers"], said, "without privilege")
    found = [one for one in parsed(bench.run(bench.server, f"{bench.tool} doctor --json").stdout)["ailments"]
             if one["code"] == "nvmetBounces"]
    equal(len(found), 2, "what doctor says of the target")
    bench.must(bench.server, f"{bench.tool} snapshot /tmp/target.tar.gz")
    bench.later(lambda: bench.server.run("rm -f /tmp/target.tar.gz"))
    again = answer(bench, "nvmet", "check", "--root", "/tmp/target.tar.gz", code=1)["answers"]
    equal([(one["code"], one["rdmaDevice"], one["namespace"]) for one in again],
          [(one["code"], one["rdmaDevice"], one["namespace"]) for one in said], "a capture's answers")
    names = f"zcat /tmp/target.tar.gz | grep -a -c -e nqn.lab -e {bench.server.address} || true"
    equal(bench.must(bench.server, names), "0\n", "the lines of the capture with names and addresses")
