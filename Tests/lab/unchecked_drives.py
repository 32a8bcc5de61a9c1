# SPDX-License-Identifier: Apache-2.0
"""Programs on the kernel that maps on-demand regions without a check: between the HCA, a drive's memory, and drives."""
from checks import check, equal, in_order, objects, same_bytes
from hcatool import DEVICE, counter, held
from on_demand import memory
from pingpong import pattern
from pingpong_peers import QUICK, Ends
from regions import register
from registry import UNCHECKED, test
from unchecked import block_device, on

MIB = 1 << 20
COUNT = 4


@test(UNCHECKED)
def through_the_drive(bench):
    """The HCA into the drive's memory, from there to the drive and back, compared on the drive."""
    on(bench, "intel")
    pong = Ends(bench)
    drive = ("--nvme", block_device(bench, bench.server, "near"), "--drive-range", "1M:4M")
    with pong.serve("--size", 5000, *QUICK, *drive) as server:
        found = pong.client("--size", 5000, *QUICK, "--validate")
        equal(found.code, 0, "the exit code of the client")
        said = server.wait(30)
        equal(said.code, 0, "the exit code of the server")
    equal([(phase["memory"], phase["method"]) for phase in objects(said.stdout)], [("p2pmem", "onDemand")] * 4,
          "the phases")
    image = bench.server.drives["near"].read_bytes()
    for message in range(COUNT):
        same_bytes(image[MIB + message * 5120:][:5000], pattern(message, 5000), f"message {message} on the drive")


@test(UNCHECKED)
def to_a_drive_of_a_refused_pair(bench):
    """The HCA may use the memory, and the drive may not: EREMOTEIO, in the words of a refused pair."""
    on(bench, "intel")
    pong = Ends(bench)
    drive = block_device(bench, bench.server, "far")
    for words in ((), ("--passthrough",)):
        with pong.serve("--size", 4096, *QUICK, "--nvme", drive, "--drive-range", "1M:4M", *words, "--memory",
                        f"p2pmem:{bench.server.bdf('near')}") as server:
            pong.client("--size", 4096, *QUICK)
            said = server.wait(60)
        equal(said.code, 1, "the exit code of the server")
        in_order(said.stderr, f"the drive {drive[5:]} may not write that peer memory", "errno 121",
                 "under one PCIe switch")


@test(UNCHECKED)
def nothing_is_registered(bench):
    """A pair that is refused leaves no region, no page that the HCA has mapped, and no p2pmem that is taken."""
    on(bench, "intel-translated")
    available = ["cat", f"/sys/bus/pci/devices/{bench.server.bdf('far')}/p2pmem/available"]

    def state():
        counts = [counter(bench, name) for name in ("odp_pages", "bytes_moved")]
        return bench.must(bench.server, available), held(bench), counts
    before = state()
    error = register(bench, DEVICE, memory(bench, "far"), "--prove", code=1)["error"]
    equal(error["code"], "unsafeHere", "the error")
    result = bench.run(bench.server, [bench.programs / "register-p2pmem", DEVICE, bench.server.bdf("far")])
    equal(result.code, 1, "the exit code of register-p2pmem")
    in_order(result.stderr, "Linux 6.12 maps peer memory", "without checking", "a newer one would refuse it")
    check(error["reason"] in result.stderr, "the program and peermr give different reasons")
    equal(state(), before, "what is free, held, mapped and moved")
