# SPDX-License-Identifier: Apache-2.0
"""The tool peermr on real kernels: what it answers, to whom, and whether its remedies help."""
import gzip
import json
import re
import subprocess

from checks import check, equal
from hcatool import DEVICE
from registry import ACS, BARE, HCA, HCA_AMD, STABLE, TOOL, Failure, test

NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups --"
OUTCOMES = {0: True, 1: False, 3: None}


def peermr(bench, *words, code=0, host=None, prefix=""):
    """Run peermr in a guest; the exit code has to be `code`. Returns its Result."""
    line = f"{prefix} {bench.tool} {' '.join(map(str, words))}"
    result = bench.run(host or bench.server, line)
    equal(result.code, code, f"the exit code of peermr {' '.join(map(str, words))}")
    return result


def answer(bench, *words, code=0, host=None, prefix=""):
    """Run peermr with --json; returns the object that it printed."""
    result = peermr(bench, *words, "--json", code=code, host=host, prefix=prefix)
    return parsed(result.stdout)


def parsed(text):
    """The one JSON object on the one line."""
    check(text.count("\n") == 1, f"there is one line of JSON, and not {text!r}")
    try:
        return json.loads(text)
    except ValueError as error:
        raise Failure(f"no JSON: {text!r}") from error


def routed(bench, provider, client, prefix=""):
    """Ask for a pair whatever comes: (supported, map type, distance, codes of the findings)."""
    result = bench.run(bench.server, f"{prefix} {bench.tool} check {provider} {client} --json")
    check(result.code in OUTCOMES, f"peermr check ended with {result.code}")
    return route_of(result)


def route_of(result):
    """What a check said, held against its exit code."""
    said = parsed(result.stdout)
    equal(said["supported"], OUTCOMES[result.code], "what the JSON says beside the exit code")
    equal(said["answers"]["route"]["answer"],
          {True: "yes", False: "no", None: "unknown"}[said["supported"]], "the route's answer")
    return (said["supported"], said["mapType"], said["distance"],
            [finding["code"] for finding in said["findings"]])


def addresses(bench):
    """The PCI addresses of the drives by their names in the layout."""
    return {name: bench.server.bdf(name) for name in ("near", "mate", "twin", "far", "alone")}


def controller(bench, address):
    """The kernel's name of the drive at an address."""
    return bench.must(bench.server, f"ls /sys/bus/pci/devices/{address}/nvme").strip()


@test(TOOL)
def completions(bench):
    """The shell is offered the machine's devices: what has memory, what could use it, and what begins as typed."""
    def offered(command, argument, word="''"):
        """What peermr offers a shell for an argument of a command, as its completion script asks."""
        line = f"SAP_SHELL=bash {bench.tool} ---completion {command} -- {argument} 1 0 {word}"
        return bench.must(bench.server, line).split()

    near, disk = bench.server.bdf("near"), controller(bench, bench.server.bdf("near")) + "n1"
    everyone = offered("check", "positional@1")
    check({"rxe0", disk, near} <= set(everyone), f"clients are offered: {everyone}")
    check(near in offered("check", "positional@0"), "the drive with a CMB is offered as provider")
    equal(offered("register", "--device"), ["rxe0"], "the RDMA devices")
    script = bench.must(bench.server, f"{bench.tool} --generate-completion-script bash")
    check("---completion register -- --device" in script, "the script for bash asks for them")


@test(TOOL)
def software_client(bench):
    """rxe0 moves its bytes by CPU: not supported with that reason, and never unknown."""
    near = bench.server.bdf("near")
    for prefix in ("", NOBODY):
        said = answer(bench, "check", near, "rxe0", code=1, prefix=prefix)
        equal(said["mapType"], "notSupported", "the map type of a software device")
        equal([item["code"] for item in said["findings"]], ["softwareDevice"], "the findings")
        equal(said["findings"][0]["device"], "rxe0", "the device of the finding")
        check("CPU" in said["answers"]["route"]["reason"], "the reason names the CPU")
        equal(said["answers"]["exporter"]["answer"], "no" if prefix else "yes", "whether this user gets its memory")
    equal(answer(bench, "check", near, "rxe0", code=1)["answers"]["api"]["answer"], "yes",
          "whether rxe0 has the calls")
    words = peermr(bench, "check", near, "rxe0", code=1).stdout
    check("not supported" in words and "software device" in words, "people are told so too")


@test(TOOL)
def names_of_a_client(bench):
    """A drive is the same client by its address, controller, namespace, partition and node."""
    drives = addresses(bench)
    mate = controller(bench, drives["mate"])
    bench.must(bench.server, f"parted -s /dev/{mate}n1 mklabel gpt mkpart a 1MiB 4MiB && "
               f"partprobe /dev/{mate}n1; ls /dev/{mate}n1p1")
    bench.later(lambda: bench.server.run(f"wipefs -a /dev/{mate}n1; partprobe /dev/{mate}n1"))
    wanted = (True, "busAddress", 4, ["commonUpstream"])
    for name in (drives["mate"], drives["mate"].removeprefix("0000:"), mate, f"/dev/{mate}",
                 f"{mate}n1", f"/dev/{mate}n1", f"{mate}n1p1", f"/dev/{mate}n1p1"):
        equal(routed(bench, drives["near"], name), wanted, f"the route of {name}")
    far = controller(bench, drives["far"])
    for name in (drives["far"], far, f"{far}n1"):
        found = routed(bench, drives["near"], name)
        equal(found[:2], (False, "notSupported"), f"the route of {name}")
        check({"noCommonUpstream", "hostBridgeNotListed"} <= set(found[3]), f"why: {found[3]}")


@test(TOOL)
def what_is_no_client(bench):
    """A bridge is not supported with its reason; what is malformed or absent is bad input."""
    near, top = bench.server.bdf("near"), bench.server.bdf("top")
    for pair in ((near, top), (top, near)):
        said = answer(bench, "check", *pair, code=1)
        equal([item["code"] for item in said["findings"]], ["isBridge"], "the findings")
    bench.must(bench.server, "modprobe loop && truncate -s 8M /tmp/image && "
               "losetup /dev/loop0 /tmp/image")
    bench.later(lambda: bench.server.run("losetup -d /dev/loop0"))
    equal(routed(bench, near, "/dev/loop0")[::3], (False, ["notPCI"]), "the route of a loop device")
    for provider, client, words in (
            ("0000:99:00.0", near, "no PCI function 0000:99:00.0"),
            (near, "0000:99:00.0", "no PCI function 0000:99:00.0"),
            (near, "mlx5_7", "no RDMA device, block device"), (near, "/dev/null", "no block device"),
            (near, "0000:1:2.3", "no PCI address"), ("nvme0n1", near, "no PCI address"),
            (near, "''", "no RDMA device"), (near, "/dev/../etc/passwd", "no block device")):
        result = peermr(bench, "check", provider, client, "--json", code=2)
        check(re.search(words, result.stderr) and result.stderr.count("\n") == 1,
              f"one sentence with {words!r}, and not {result.stderr!r}")
        check("error" in parsed(result.stdout), "the error is in the JSON too")
    peermr(bench, "check", near, code=2)


@test(TOOL)
def matrix_and_lists(bench):
    """devices and topology show what is there, and the matrix says what check says."""
    drives = addresses(bench)
    listed = answer(bench, "devices")
    equal([(item["name"], item["nic"]) for item in listed["rdma"]], [("rxe0", "software")], "RDMA")
    pools = [item["address"] for item in listed["providers"] if item["poolBytes"]]
    equal(sorted(pools), sorted([drives["near"], drives["twin"]]), "those that publish p2pmem")
    matrix = answer(bench, "topology")
    equal(matrix["withoutFunction"], ["rxe0"], "devices without a function")
    equal(sorted(matrix["clients"]), sorted(drives.values()), "the clients of the matrix")
    for row, client in enumerate(matrix["clients"]):
        for column, provider in enumerate(matrix["providers"]):
            found = routed(bench, provider, client)
            equal((matrix["supported"][row][column], matrix["mapTypes"][row][column],
                   matrix["distances"][row][column]), found[:3], f"{provider} for {client}")
    text = peermr(bench, "topology").stdout
    check("BUS:4" in text and "rxe0" in text, "the table for people has both")
    # Guests have no Graphviz.
    missing = bench.run(bench.server, f"{bench.tool} topology --svg")
    check(missing.code == 2 and "apt-get install graphviz" in missing.stderr, f"--svg: {missing.stderr}")
    check(peermr(bench, "topology", "--dot").stdout.startswith("digraph"), "--dot draws")
    check(drives["far"] in peermr(bench, "devices").stdout, "the list for people has all drives")


@test(TOOL)
def the_pool_is_for_this_user(bench):
    """The exporter's answer is about the user who asks: nobody may not open the file that p2pmem is mapped from."""
    drives = addresses(bench)
    door = f"/sys/bus/pci/devices/{drives['near']}/p2pmem/allocate"
    mine = answer(bench, "check", drives["near"], drives["near"])["answers"]["exporter"]
    equal(mine["answer"], "yes", "the answer for root")
    result = bench.run(bench.server, f"{NOBODY} {bench.tool} check {drives['near']} {drives['near']} --json")
    theirs = parsed(result.stdout)["answers"]["exporter"]
    equal(theirs["answer"], "no", "the answer for nobody")
    check("cannot be opened by this user" in theirs["reason"], theirs["reason"])
    check(door in theirs["remedy"], theirs["remedy"])
    headline = peermr(bench, "check", drives["near"], drives["near"], code=result.code, prefix=NOBODY).stdout
    check("not usable" in headline.split("\n")[0], headline)
    bench.run(bench.server, f"chmod o+rw {door}")
    result = bench.run(bench.server, f"{NOBODY} {bench.tool} check {drives['near']} {drives['near']} --json")
    equal(parsed(result.stdout)["answers"]["exporter"]["answer"], "yes", "the answer when nobody has the rights")
    bench.run(bench.server, f"chmod o-rw {door}")


@test(TOOL)
def without_privilege(bench):
    """Nobody gets the same answers; unknown only below a common bridge with unreadable ACS."""
    drives = addresses(bench)
    paths = {name: bench.must(bench.server, f"realpath /sys/bus/pci/devices/{address}")
             for name, address in drives.items()}
    unknown = 0
    for provider in ("near", "twin"):
        for client in drives:
            known = routed(bench, drives[provider], drives[client])
            found = routed(bench, drives[provider], drives[client], NOBODY)
            equal(found[2], known[2], f"the distance from {client} to {provider}")
            if found[0] is None:
                unknown += 1
                check(set(paths[provider].split("/")[4:]) & set(paths[client].split("/")[4:]),
                      f"{client} and {provider} share no bridge, and could be known")
                check("configUnreadable" in found[3], f"what could not be read is told: {found[3]}")
            else:
                equal(found[:2], known[:2], f"the route from {client} to {provider}")
    check(unknown > 0, "no answer depended on privilege: the test tests nothing")
    said = answer(bench, "check", drives["near"], drives["mate"], code=3, prefix=NOBODY)
    equal(said["answers"]["route"]["remedy"], "run this as root, or capture the machine as root", "the remedy")


@test(TOOL)
def snapshot_judged_elsewhere(bench):
    """A snapshot from the guest gives the same answers outside, taken as root or as nobody."""
    drives = addresses(bench)
    for prefix, name in (("", "root"), (NOBODY, "nobody")):
        file = bench.scratch / f"{name}.tar.gz"
        peermr(bench, "snapshot", f"/tmp/{name}", prefix=prefix)
        bench.must(bench.server, f"cp /tmp/{name} {file}")
        for provider in ("near", "far"):
            for client in [*drives.values(), "rxe0", controller(bench, drives["mate"])]:
                command = ["check", drives[provider], client]
                here = subprocess.run([bench.tool, *command, "--json", "--snapshot", file],
                                      capture_output=True, text=True, check=False)
                check(here.returncode in OUTCOMES, f"{command} elsewhere: {here.stderr}")
                there = routed(bench, drives[provider], client, prefix)
                said = parsed(here.stdout)
                equal((said["supported"], said["mapType"], said["distance"],
                       [item["code"] for item in said["findings"]]), there, f"{command} elsewhere")
        text = gzip.decompress(file.read_bytes()).decode("latin-1")
        # The host's name, its network address, and the serial number of a drive.
        for secret in (bench.server.name, bench.server.address, "alone"):
            check(secret not in text, f"the snapshot holds {secret!r}")
        file.write_bytes(file.read_bytes()[:-100])
        cut = subprocess.run([bench.tool, "devices", "--snapshot", file], capture_output=True,
                             text=True, check=False)
        equal(cut.returncode, 2, "the exit code for a snapshot that is cut off")
        check("is damaged" in cut.stderr, f"it is called damaged: {cut.stderr}")


def ailments(bench, code=1, host=None, prefix=""):
    """What doctor finds, by code."""
    found = answer(bench, "doctor", code=code, host=host, prefix=prefix)["ailments"]
    weights = [("blocks", "limits", "unknown", "note").index(item["weight"]) for item in found]
    equal(weights, sorted(weights), "the order of the ailments, worst first")
    return {item["code"]: item for item in found}


def cured(bench, code, remedy, prefix=""):
    """Run what doctor told to run: the ailment has to be gone."""
    check(remedy in ailments(bench, prefix=prefix)[code]["remedy"], f"{code} says {remedy!r}")
    bench.must(bench.server, remedy)
    check(code not in ailments(bench, prefix=prefix), f"{code} is still there after {remedy!r}")


@test(TOOL)
def doctor_with_everything(bench):
    """With rxe and a CMB only the software device is in the way; its remedies for a process help."""
    found = ailments(bench)
    equal([item for item in found if item != "memoryLock"], ["onlySoftwareDevices"], "the ailments")
    # Without CAP_IPC_LOCK the limit counts; the remedy is for the shell that starts the program.
    line = (f"ulimit -l 64; {bench.tool} doctor --json; ulimit -l unlimited; "
            f"{bench.tool} doctor --json")
    result = bench.run(bench.server, "setpriv --inh-caps -ipc_lock --bounding-set -ipc_lock "
                       f"sh -c '{line}'")
    before, after = (json.loads(text)["ailments"] for text in result.stdout.splitlines())
    lock = [item for item in before if item["code"] == "memoryLock"]
    check(lock and lock[0]["remedy"].startswith("ulimit -l unlimited"), f"the remedy: {lock}")
    check(all(item["code"] != "memoryLock" for item in after), "the remedy did not help")
    equal(ailments(bench, prefix=NOBODY)["needsPrivilege"]["remedy"], "sudo peermr doctor",
          "the remedy of one without privilege")


@test(TOOL)
def doctor_and_the_driver(bench):
    """A drive that lost its driver is named, and the command binds it again."""
    near, twin = bench.server.bdf("near"), bench.server.bdf("twin")
    for drive in (near, twin):
        bench.must(bench.server, f"echo {drive} > /sys/bus/pci/drivers/nvme/unbind")
        bench.later(lambda drive=drive: bench.server.run(
            f"echo {drive} > /sys/bus/pci/drivers/nvme/bind"))
    equal(answer(bench, "check", near, twin, code=1)["answers"]["exporter"]["answer"], "no",
          "whether a drive without its driver hands memory out")
    cured(bench, "noPool", ailments(bench)["noPool"]["remedy"])
    for drive in (near, twin):
        bench.must(bench.server, f"readlink /sys/bus/pci/devices/{drive}/driver | grep -q nvme")


@test(BARE)
def doctor_without_rdma(bench):
    """Without modules and devices doctor names the commands; each is run, and helps."""
    bench.must(bench.server, "rdma link del rxe0 2>/dev/null; ip link del eth0 2>/dev/null; "
               "modprobe -r rdma_ucm; modprobe -r rdma_rxe ib_uverbs; "
               "test ! -e /sys/class/infiniband_verbs")
    found = ailments(bench)
    check({"noRDMADevice", "noVerbs", "noConnectionManager", "noPool"} <= set(found),
          f"the ailments are {list(found)}")
    check("CMBSZ" in found["noPool"]["remedy"], "how to see whether a drive has a CMB")
    check("has no controller memory buffer" in found["noPool"]["detail"], f"what is known: {found['noPool']}")
    cured(bench, "noVerbs", "modprobe ib_uverbs")
    cured(bench, "noConnectionManager", "modprobe rdma_ucm")
    bench.must(bench.server, "ip link add eth0 type veth peer name eth1 && ip link set eth0 up")
    remedy = found["noRDMADevice"]["remedy"]
    command = re.search(r"rdma link add rxe0 type rxe netdev IFNAME", remedy)
    check(command, f"the remedy names the command: {remedy}")
    bench.must(bench.server, "modprobe rdma_rxe; " + command[0].replace("IFNAME", "eth0"))
    check("noRDMADevice" not in ailments(bench), "the RDMA device is not seen")


@test(STABLE)
def doctor_on_an_old_kernel(bench):
    """Linux 6.12 without P2P and with an rxe without ODP: doctor says all of that, check refuses."""
    found = ailments(bench)
    for code in ("noPeerToPeer", "kernelWithoutCheck", "noOnDemandPaging", "noPool"):
        check(code in found, f"{code} is missing in {list(found)}")
    drive = bench.server.bdf("nvme0")
    equal(routed(bench, drive, "nvme0")[0], False, "a route on a kernel without P2P")
    equal(routed(bench, drive, "nvme0", NOBODY)[0], False, "the same for nobody")


@test(ACS)
def remedy_for_acs(bench):
    """The parameter of check is for one route, that of doctor for all: each form helps, on the same machine."""
    before, *after = bench.hosts
    said = answer(bench, "check", before.bdf("one"), before.bdf("two"), code=1, host=before)
    redirect = [item for item in said["findings"] if item["code"] == "acsRedirect"]
    equal([item["device"] for item in redirect], [before.bdf("joint")], "what redirects")
    check(f"disable_acs_redir={before.bdf('joint')}" in redirect[0]["remedy"], f"the remedy: {redirect[0]}")
    told = answer(bench, "doctor", "--boot-parameters", host=before)
    equal((told["parameter"], told["redirection"]), tuple(host.spec.append for host in after),
          "what the other machines were booted with")
    text = peermr(bench, "doctor", "--boot-parameters", host=before).stdout
    check(text.startswith(told["parameter"] + "\n") and "isolation" in text, "the line, and what it costs")
    for host in after:
        mended(bench, host)


def mended(bench, host):
    """Fail unless nothing redirects on a host that was booted with the remedy, and doctor is content with that."""
    equal(answer(bench, "check", host.bdf("one"), host.bdf("two"), host=host)["mapType"], "busAddress", host.name)
    check("acsRedirect" not in ailments(bench, host=host), f"ACS still redirects on {host.name}")
    # The line is right for the next boot too: it names what the command line has.
    peermr(bench, "doctor", "--boot-parameters", host=host, code=1)


@test(ACS)
def remedy_for_acs_and_the_kernel(bench):
    """What the kernel did with each form: it refuses a NIC the drive's memory before, and maps it after."""
    for host in bench.hosts:
        isolated = host.name == "before"
        for device, drive in (("labhca0", "one"), ("labhca1", "three")):
            report = answer(bench, "register", "--device", device, "--memory", f"p2pmem:{host.bdf(drive)}:4K",
                            "--prove --prove-bytes 4K", code=1 if isolated else 0, host=host)
            told = report["error"]["errno"] if isolated else report["proof"]["state"]
            equal(told, 14 if isolated else "proven", f"{device} with {drive} on {host.name}")


@test(ACS)
def doctor_and_vfio(bench):
    """Drives that vfio-pci holds: writing to bind fails, and what doctor says gives them back."""
    bench.server = bench.client
    drives = [bench.client.bdf(name) for name in ("one", "two", "three")]
    back = "echo > {0}/driver_override; echo {1} > {0}/driver/unbind; echo {1} > /sys/bus/pci/drivers_probe"
    for drive in drives:
        folder = f"/sys/bus/pci/devices/{drive}"
        bench.later(lambda drive=drive, folder=folder: bench.client.run(
            f"readlink {folder}/driver | grep -q nvme || {{ {back.format(folder, drive)}; }}"))
        bench.must(bench.client, f"echo vfio-pci > {folder}/driver_override; echo {drive} > {folder}/driver/unbind; "
                   f"echo {drive} > /sys/bus/pci/drivers_probe; readlink {folder}/driver | grep -q vfio-pci")
    check(bench.run(bench.client, f"echo {drives[0]} > /sys/bus/pci/drivers/nvme/bind").code != 0, "bind is enough")
    remedy = ailments(bench)["noPool"]["remedy"]
    check("vfio unbind" in remedy, f"the remedy names the command: {remedy}")
    cured(bench, "noPool", remedy.split(" (")[0])
    for drive in drives:
        bench.must(bench.client, f"readlink /sys/bus/pci/devices/{drive}/driver | grep -q nvme")


@test(HCA)
def hardware_client(bench):
    """A NIC that does its own DMA is judged by where it is: labhca_peers shows that it is so."""
    equal(routed(bench, bench.server.bdf("near"), DEVICE)[:2], (True, "busAddress"), "same switch")
    far = routed(bench, bench.server.bdf("far"), DEVICE)
    equal(far[:2], (False, "notSupported"), "another root port, Intel")
    check("hostBridgeNotListed" in far[3], f"why: {far[3]}")
    equal(routed(bench, bench.server.bdf("far"), DEVICE, NOBODY), far, "the same for nobody")
    found = ailments(bench)
    check("onlySoftwareDevices" not in found and "hostBridgeNotListed" in found,
          f"a drive behind another root port is out of reach: {list(found)}")
    told = json.dumps(found)
    check(bench.server.bdf("far-drive") in told and bench.server.bdf("far") not in told,
          f"an ivshmem is nobody's provider, and in nobody's way, but the drive is: {told}")


@test(HCA_AMD)
def hardware_client_on_amd(bench):
    """Through an AMD host bridge it is allowed, and the IOMMU on the way is told."""
    far = routed(bench, bench.server.bdf("far"), DEVICE)
    equal(far[:2], (True, "throughHostBridge"), "another root port, AMD")
    check({"cpuAllows", "iommu"} <= set(far[3]), f"why: {far[3]}")
    check("iommu" in ailments(bench), "doctor notes the translation")
