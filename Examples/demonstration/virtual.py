# SPDX-License-Identifier: Apache-2.0
"""The demo between two virtual hosts, alpha (with the file) and beta (with the drive)."""
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from peerlab import HostSpec, Lab
from peerlab import build, cache, signals
from report import DemoError, assemble, digest, last_json, save, show

MARGIN = 64 << 20       # the drive is that much larger than what is sent
GUEST_FILE = "/run/lab/exchange/payload"


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(options):
    with Lab(progress=say) as lab, image_file(options, lab.directory) as image:
        programs = options.programs or build.programs("nic-to-nvme", progress=say)
        payload = options.file or _default_file()
        size = payload.stat().st_size
        alpha, beta = _boot(lab, image, options.offset + size, programs)
        expected = digest(payload)
        hand_over(payload, alpha.exchange / "payload")
        report = _transfer(alpha, beta, programs, options, size, expected)
        for host in (alpha, beta):
            host.shutdown()
        on_drive = digest(image, options.offset, size) == expected
        report["verified"] = report["verified"] and on_drive
        finish(report, image, options)
        return 0 if report["verified"] else 1


def _default_file():
    """Something real of a few MiB that is always there: the kernel that the guests run."""
    kernel, _ = cache.current("kernel-new")
    if kernel is None:
        from peerlab.fetch import assets
        assets({"new"}, say)
        kernel, _ = cache.current("kernel-new")
    return kernel / "vmlinuz"


@contextlib.contextmanager
def image_file(options, run_directory):
    """The drive's image; it stays only when it is asked for, and the demo came to its end."""
    kept = options.keep or options.report
    directory = options.report.absolute().parent if options.report else Path.cwd()
    handle, name = tempfile.mkstemp(prefix=".peermr-demo-", suffix=".img",
                                    dir=directory if kept else run_directory)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _boot(lab, image, needed, programs):
    mib = (needed + MARGIN + (1 << 20) - 1) >> 20
    os.truncate(image, mib << 20)
    drive = {"type": "nvme", "name": "nvme0", "cmb": 64, "drive": {"path": str(image)}}
    share = [programs.absolute()]
    return lab.boot(
        HostSpec("alpha", rdma=True, share=share),
        HostSpec("beta", rdma=True, share=share, modules=["nvme"],
                 layout=[{"type": "root-port", "children": [drive]}]), join=True)


def hand_over(payload, place):
    """Give the guest the file: by a second name where the file systems allow it, else a copy."""
    try:
        os.link(payload.resolve(), place)
    except OSError:
        shutil.copyfile(payload, place)


def _transfer(alpha, beta, programs, options, size, expected):
    """Serve on beta, send from alpha, fetch back to alpha."""
    program = programs.absolute() / "nic-to-nvme"
    blocks = (size + 511) // 512 * 512
    server = beta.start(
        [program, "serve", "--listen", beta.address, "--nvme", "/dev/nvme0n1", "--offset",
         options.offset, "--length", blocks, "--memory", options.memory, "--allow", alpha.address,
         "--json"])
    server.wait_for(r"^nic-to-nvme: serving", timeout=60)
    say(server.stderr().replace("nic-to-nvme: ", "beta: ").rstrip())
    limit = 120 + size // (1 << 20) * 4
    common = ["--connect", beta.address, "--json", "--progress" if sys.stderr.isatty() else
              "--no-progress"]
    put = _client(alpha, [program, "put", *common, "--no-verify", GUEST_FILE], "put", limit)
    get = _client(alpha, [program, "get", *common, "--length", size, "--sha256", expected],
                  "get", limit)
    server.signal("INT")
    ended = server.wait(30)
    if ended.code != 0:
        raise DemoError(f"the server ended with code {ended.code}:\n{ended.stderr}")
    served = {name: last_json(ended.stdout, name) for name in ("put", "get")}
    return assemble([alpha.name, beta.name], put, get, served, expected,
                    bool(get["verified"]), None, options.offset)


def _client(host, command, operation, limit):
    def forward(stream, text):
        if stream == "stderr":
            sys.stderr.write(text)
            sys.stderr.flush()
    say(f"alpha: {operation} ...")
    result = host.run(command, timeout=limit, on_output=forward)
    if result.code != 0:
        raise DemoError(f"{operation} failed:\n{result.stderr.strip()}")
    return last_json(result.stdout, operation)


def finish(report, image, options):
    """Put image and report in their places: the image first, because the report names it."""
    with signals.shielded():
        if options.keep or options.report:
            stem = options.report.name.removesuffix(".json") if options.report else "peermr-demo"
            place = image.with_name(f"{stem}.img")
            os.chmod(image, 0o644)
            os.rename(image, place)
            report["diskImage"] = place.name
        if options.report:
            save(report, options.report)
    show(report)
