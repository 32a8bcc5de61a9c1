# SPDX-License-Identifier: Apache-2.0
"""The lab HCA by itself: what verbs promise, with its DMA engine moving the bytes of host memory."""
from checks import check, equal, in_order
from hcatool import DEVICE, counter, nothing_is_left, says, script, start, switch
from registry import HCA, HCA_AMD, test

HOSTS = ("host a 10000", "host b 10000", "register a", "register b", "fill a 7")


@test(HCA)
def is_a_device(bench):
    """The tools of rdma-core and iproute2 know it: InfiniBand, active, with a LID and one port."""
    info = bench.must(bench.server, ["ibv_devinfo", "-d", DEVICE])
    in_order(info, r"hca_id:\s+labhca0", r"transport:\s+InfiniBand", r"vendor_part_id:\s+4584",
             r"state:\s+PORT_ACTIVE", r"active_mtu:\s+4096", r"port_lid:\s+[1-9]",
             r"link_layer:\s+InfiniBand")
    check(DEVICE in bench.must(bench.server, "ibv_devices"), "ibv_devices does not list it")
    in_order(bench.must(bench.server, "rdma link"), f"{DEVICE}/1 .*state ACTIVE")
    parent = bench.must(bench.server, f"readlink -f /sys/class/infiniband/{DEVICE}/device").strip()
    equal(parent.rsplit("/", 1)[1], bench.server.bdf("hca"), "the PCI function of the device")


@test(HCA)
def narrow_engine(bench):
    """A function that drops address bits is refused, before it writes to somebody else's memory."""
    _narrow_engine(bench)


@test(HCA_AMD)
def narrow_engine_behind_an_iommu(bench):
    """The same where an IOMMU translates, and the addresses are high."""
    _narrow_engine(bench)


def _narrow_engine(bench):
    bdf = bench.server.bdf("narrow")
    check(f"labhca {bdf}: the DMA engine does not see all addresses" in bench.server.dmesg(),
          "the kernel's log does not tell of the refusal")
    equal(bench.must(bench.server, f"ls /sys/bus/pci/devices/{bdf} | grep -c ^driver$ || true"),
          "0\n", "the drivers of the function")
    equal(bench.must(bench.server, "ls /sys/class/infiniband"), f"{DEVICE}\n", "the RDMA devices")


@test(HCA)
def rdma_both_ways(bench):
    """WRITE and READ gather and scatter at odd places, beyond the engine's buffer and over pages."""
    moved = counter(bench, "bytes_moved")
    for connection in ("connect", "pair"):
        says(bench, ["write success", "check b same", "check b same", "check b same",
                     "read success", "check b same", "check b same", "check b same",
                     "state rts"],
             *HOSTS, connection, "write b+1 a+1:100 a+300:0 a+300:9000", "wait",
             "check b 7 1 100", "check b 7 101 9000 300", "check b 0 9101 899",
             "fill b 0", "read a+2000 b+0:10 b+20:5000", "wait",
             "check b 7 0 10 2000", "check b 7 20 5000 2010", "check b 0 5020 4980", "state")
    equal(counter(bench, "bytes_moved") - moved, 2 * (9100 + 5010), "the bytes that were moved")
    nothing_is_left(bench)


@test(HCA)
def messages(bench):
    """SEND fills receives, a WRITE with immediate data announces itself, both with their lengths."""
    says(bench, ["received success 5060 bytes, immediate 1234", "sent success",
                 "check b same", "check b same",
                 "received-write success 9 bytes, immediate 1234", "write success",
                 "received success 0 bytes, immediate 1234", "sent success"],
         *HOSTS, "pair", "receive b+100:50 b+600:6000", "send a+900:5060", "wait 2",
         "check b 7 100 50 900", "check b 7 600 5010 950",
         "receive b+1:1", "write-immediate b+0 a+0:9", "wait 2", "receive", "send", "wait 2")
    nothing_is_left(bench)


@test(HCA)
def perftest_and_pingpong(bench):
    """Programs that know nothing of it run on it: two of them, by LID, with completion events."""
    bench.must(bench.server, "ip link set lo up")
    for program in (f"ibv_rc_pingpong -e -d {DEVICE} -s 5000 -n 2",
                    f"ib_write_bw -d {DEVICE} -s 512 -n 5"):
        there = bench.start(bench.server, program)
        bench.settles(lambda: "LISTEN" in bench.must(bench.server, "ss -ltn"), True,
                      f"whether {program} listens")
        here = bench.run(bench.server, f"{program} 127.0.0.1")
        equal((here.code, there.wait(20).code), (0, 0), f"the exit codes of {program}")
    nothing_is_left(bench)


@test(HCA)
def keys_bounds_and_rights(bench):
    """What a region does not allow ends in the status that says so, and moves no byte."""
    remote, local = "remote access error", "local protection error"
    # what is wrong: the script, and the status of its request
    cases = [
        (("register b l", "connect", "write b+0 a+0:10"), f"write {remote}"),
        (("register b -", "connect", "read b+0 a+0:10"), f"read {remote}"),
        (("register b -", "connect", "read a+0 b+0:10"), f"read {local}"),
        (("register b lw 0 5000", "connect", "write b+4991 a+0:10"), f"write {remote}"),
        (("register b lw 16 5000", "connect", "write b+15 a+0:10"), f"write {remote}"),
        (("register b", "connect", "write b+0 a+9991:10"), f"write {local}"),
        (("register b", "connect", "write b+0 a+0:9 a+9995:10"), f"write {local}"),
        (("register b", "connect", "deregister b", "write b+0 a+0:10"), f"write {remote}"),
        (("register-elsewhere b", "connect", "write b+0 a+0:10"), f"write {remote}"),
        (("register-elsewhere b", "connect", "read a+0 b+0:10"), f"read {local}"),
        (("register b", "connect r", "write b+0 a+0:10"), "write remote invalid request error"),
        (("register b", "connect", "send a+0:10"), "sent RNR retry counter exceeded"),
    ]
    for commands, expected in cases:
        says(bench, [expected, "state error", "check b same"],
             "host a 10000", "host b 10000", "register a", "fill a 7", *commands, "wait", "state",
             "check b 0 0 10000")
    nothing_is_left(bench)


@test(HCA)
def errors_at_both_ends(bench):
    """When a request fails at the other end, that one is in error too, and both are flushed."""
    found = script(bench, "host a 10000", "host b 10000", "register a", "register b l", "pair",
                   "receive b+0:10", "write b+0 a+0:10", "write b+0 a+0:10", "wait 3", "state",
                   "state receiver")
    # The two ends are flushed each in its own time.
    equal([found[0], sorted(found[1:3]), found[3:]],
          ["write remote access error", ["received Work Request Flushed Error",
                                         "write Work Request Flushed Error"], ["state error"] * 2],
          "what the script printed")
    says(bench, ["received local length error", "sent remote invalid request error",
                 "received Work Request Flushed Error", "state error", "state error"],
         *HOSTS, "pair", "receive b+0:10", "receive b+0:10", "send a+0:11", "wait 3", "state",
         "state receiver")
    says(bench, ["received local protection error", "sent remote operation error"],
         "host a 10000", "host b 10000", "register a", "register b -", "pair", "receive b+0:10",
         "send a+0:10", "wait 2")
    says(bench, ["write remote access error", "event local access violation work queue error"],
         "host a 10000", "host b 10000", "register a", "register b l", "pair", "write b+0 a+0:10",
         "wait", "event")
    nothing_is_left(bench)


@test(HCA)
def registration_that_fails(bench):
    """The switch makes every registration fail with the errno that was asked for."""
    for number, name in ((12, "ENOMEM"), (14, "EFAULT"), (524, "")):
        switch(bench, "fail_registration", number)
        found = script(bench, "host a 4096", "udmabuf b 4096", "register a", "register b")
        expected = [f"register {name}"] * 2 if name else found
        equal(found, expected, f"what was registered with the switch at {number}")
        equal(len(found), 2, "the number of refusals")
    nothing_is_left(bench)


@test(HCA)
def killed_in_the_middle(bench):
    """A program that is killed while its requests are carried out leaves nothing."""
    process = start(bench, "host a 400000", "host b 400000", "register a", "register b", "connect",
                    "write b+0 a+0:400000", "write b+0 a+0:400000", "wait-for /tmp/never")
    process.wait_for("waiting", 60)
    process.signal("KILL")
    equal(process.wait(20).code, 137, "the exit code of the killed program")
    nothing_is_left(bench)
