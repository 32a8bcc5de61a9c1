# SPDX-License-Identifier: Apache-2.0
"""The Debian packages in a guest without a Swift toolchain, of a release newer than the one they are built on."""
import re
from pathlib import Path

from checks import check, equal, here
from registry import TOOL, test

_ROOT = Path(__file__).resolve().parents[2]
_LIBRARY = Path("/usr/lib/x86_64-linux-gnu")
_PACKAGES = ["libpeermr0", "libpeermr-dev", "peermr", "python3-peermr"]


def _packages(bench):
    """The packages, built once: their files by name. They are packed without compression, which takes long."""
    output = bench.scratch / "packages"
    if not output.exists():
        here([_ROOT / "Packaging" / "deb", "--programs", Path(bench.tool).parent, "--output", output],
              {"DPKG_DEB_COMPRESSOR_TYPE": "none"})
    return {path.name.split("_", maxsplit=1)[0]: path for path in output.glob("*.deb")}


def _all_files(bench):
    """All that is in the directories of the guest's system where packages put things, as a set."""
    places = " ".join(["/usr/bin", "/usr/include", str(_LIBRARY), "/etc", "/var/lib/dpkg/info", "/usr/lib/python3"]
                      + [f"/usr/share/{name}" for name in ("doc", "man", "bash-completion", "zsh", "fish", "lintian")])
    return set(bench.must(bench.server, f"find {places} -maxdepth 3 2> /dev/null; true").split("\n"))


@test(TOOL)
def debian_packages(bench):
    """dpkg installs the packages with what they depend on; programs run from the path; nothing stays of them."""
    guest, found = bench.server, _packages(bench)
    equal(sorted(found), sorted(_PACKAGES), "the packages")
    # The lab's root keeps no documentation; a machine of users does.
    bench.must(guest, "rm -f /etc/dpkg/dpkg.cfg.d/lab; ldconfig")
    before = _all_files(bench)
    bench.must(guest, f"dpkg --force-unsafe-io -i {found['libpeermr0']} {found['peermr']} {found['python3-peermr']}",
               120)
    # The guest has no compiler: only the headers of libibverbs may be missing.
    refused = bench.run(guest, f"dpkg --force-unsafe-io -i {found['libpeermr-dev']}", 120)
    check(refused.code != 0 and "libibverbs-dev" in refused.stderr, "libpeermr-dev asks for libibverbs-dev")
    equal(set(re.findall(r"Package (\S+) is not installed", refused.stderr)), {"libibverbs-dev"}, "what it asks for")
    bench.must(guest, f"dpkg --force-unsafe-io -i --force-depends {found['libpeermr-dev']}", 120)

    version = (_ROOT / "VERSION").read_text().strip()
    equal(bench.must(guest, "cd / && peermr --version").strip(), f"peermr {version}", "peermr --version")
    near, mate = guest.bdf("near"), guest.bdf("mate")
    result = bench.run(guest, f"peermr check {near} {mate}")
    equal(result.code, 0, "the exit code of peermr check for two drives behind one switch")
    said = bench.must(guest, "cd / && python3 -c 'import peermr; print(peermr.version(), len(peermr.doctor()))'")
    check(said.startswith(f"{version} "), f"the Python module said {said!r}")
    for name in ("ping-pong", "nic-to-nvme"):
        bench.must(guest, f"{name} --help")
    listed = bench.must(guest, f"dpkg -L {' '.join(_PACKAGES)}").split()
    for page in ("man1/peermr.1", "man1/ping-pong.1", "man1/nic-to-nvme.1", "man3/peermr.3", "man3/peermr_prove.3",
                 "man3/peermr_map_type_name.3"):
        check(f"/usr/share/man/{page}.gz" in listed, f"there is a manual page {page}")
        bench.must(guest, f"zcat /usr/share/man/{page}.gz | grep -q '^.Sh NAME'")
    bench.must(guest, "ldconfig -p | grep -q 'libpeermr.so.0 .*=> .*/libpeermr.so.0$'")
    bench.must(guest, "dpkg --verify " + " ".join(_PACKAGES))
    bench.must(guest, f"test ! -e {_LIBRARY}/../swift && ! command -v swift")

    bench.must(guest, f"dpkg -r {' '.join(_PACKAGES)} && dpkg -P {' '.join(_PACKAGES)}", 120)
    bench.must(guest, "ldconfig")
    after = _all_files(bench)
    equal(sorted(after - before), [], "what the packages leave behind")
    equal(sorted(path for path in before - after if path != "/etc/ld.so.cache"), [], "what they took with them")


@test(TOOL)
def packaged_library(bench):
    """A program compiled here as the packages' pkg-config file says registers p2pmem in the guest, and proves it."""
    guest, found = bench.server, _packages(bench)
    tree, program = bench.scratch / "tree", bench.scratch / "consumer"
    for name in ("libpeermr0", "libpeermr-dev"):
        here(["dpkg-deb", "-x", found[name], tree])
    flags = here(["pkg-config", "--define-variable=prefix=" + str(tree / "usr"),
                   f"--define-variable=libdir={tree}{_LIBRARY}", "--cflags", "--libs", "peermr"],
                  {"PKG_CONFIG_PATH": f"{tree}{_LIBRARY}/pkgconfig"}).split()
    source = Path(__file__).with_name("consumer.c")
    here(["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", program, source, *flags])
    bench.must(guest, f"dpkg --force-unsafe-io -i {found['libpeermr0']}", 120)
    bench.later(lambda: bench.must(guest, "dpkg -P libpeermr0", 120))
    near = guest.bdf("near")
    free = bench.must(guest, f"cat /sys/bus/pci/devices/{near}/p2pmem/available")
    result = bench.run(guest, f"cd / && {program} rxe0 {near}")
    equal(result.code, 0, "the exit code of the program")
    check("onDemand" in result.stdout and "proven 1" in result.stdout, f"it said {result.stdout!r}")
    equal(bench.must(guest, f"cat /sys/bus/pci/devices/{near}/p2pmem/available"), free, "the free p2pmem afterwards")
    equal(bench.run(guest, f"cd / && {program} rxe0 0000:00:1f.7").code, 1, "the exit code without such memory")
