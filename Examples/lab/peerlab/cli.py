# SPDX-License-Identifier: Apache-2.0
"""The commands of `lab`."""
import argparse
import json
import os
import signal
import sys
from pathlib import Path

from . import builder, cache, engines, fetch, qemu, remote, signals
from .accel import accelerator
from .errors import LabError
from .guestroot import guest_root
from .host import HostSpec
from .kernel import NAMES, kernel
from .lab import Lab


class _Parser(argparse.ArgumentParser):
    """argparse, with the complaint as one sentence."""

    def error(self, message):
        sys.stderr.write(f"lab: {message}; see: {self.prog} --help\n")
        raise SystemExit(2)


def main(arguments):
    """Run `lab` with these arguments and return the exit code."""
    # All that follows `--` is the guest's command, whatever it looks like.
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options = _parser().parse_args(arguments[:split])
    options.words = arguments[split + 1:]
    try:
        with signals.orderly():
            return options.function(options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Nobody reads us any more; Python must not complain of it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _parser():
    parser = _Parser(prog="lab", description="Virtual hosts with RDMA, NVMe and any PCI layout.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name, function, text):
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(function=function)
        return added

    added = command("fetch", _fetch, "Fill the cache: guest root and kernels.")
    added.add_argument("--kernel", choices=[*NAMES, "all"], default="new",
                       help="which kernel; `unchecked` is built, which takes some ten minutes")
    added.add_argument("--refresh", action="store_true", help="look for newer packages")
    added.add_argument("--builder", action="store_true",
                       help="also what builds kernel modules, such as the lab HCA's")
    added.add_argument("--engines", action="store_true", help="also the root that --engines of other commands is for")
    added = command("run", _run, "Boot, run a command on the first host, exit with its code. "
                    "Write the command after --.")
    _host_options(added)
    added = command("up", _up, "Boot hosts and keep them until Ctrl-C, for `lab exec`.")
    _host_options(added)
    added = command("exec", _exec, "Run a command on a host of a running `lab up`. "
                    "Write the command after --.")
    added.add_argument("host")
    added = command("shell", _shell, "Boot one host and give a shell on its console.")
    _host_options(added)
    command("status", _status, "Say what is in the cache and how guests would run.")
    command("clean", _clean, "Delete the lab's cache.")
    return parser


def _host_options(parser):
    parser.add_argument("--layout", metavar="FILE", help="PCI layout of the first host, as JSON")
    parser.add_argument("--kernel", choices=NAMES, default="new", help="see README.md")
    parser.add_argument("--cpu", default=HostSpec.cpu, help="CPU model, as QEMU names it")
    parser.add_argument("--rdma", action="store_true", help="Soft-RoCE on every host")
    parser.add_argument("--labhca", action="store_true",
                        help="make RDMA devices of the layout's edu nodes, see labhca/README.md")
    parser.add_argument("--engines", action="store_true",
                        help="UCX, Open MPI, libfabric, Mooncake and a compiler in the guests' root")
    parser.add_argument("--iommu", choices=qemu.IOMMUS, help="an emulated IOMMU, and how the "
                        "kernel uses it")
    parser.add_argument("--mtu", type=_number(576, 9000), default=HostSpec.mtu)
    parser.add_argument("--hosts", type=_number(1, 8), default=1, metavar="N")
    parser.add_argument("--memory", type=_number(256, 1 << 20), default=HostSpec.memory_mib,
                        metavar="MIB")
    parser.add_argument("--smp", type=_number(1, 64), default=HostSpec.smp, metavar="CPUS")
    parser.add_argument("--share", action="append", default=[], metavar="DIR",
                        help="a further directory to show to the guests, read-only")


def _number(low, high):
    def parse(text):
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low} to {high}")
        return int(text)
    return parse


def _specs(options):
    """One spec for each host: host1 with the layout, host2, ..."""
    layout = None
    if options.layout:
        try:
            layout = json.loads(Path(options.layout).read_text())
        except OSError as error:
            raise LabError(f"{options.layout} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise LabError(f"{options.layout} is no JSON: {error}.") from error
    return [HostSpec(f"host{number}", kernel=options.kernel, cpu=options.cpu, rdma=options.rdma,
                     mtu=options.mtu, memory_mib=options.memory, smp=options.smp,
                     share=options.share, layout=layout if number == 1 else None,
                     modules=["nvme"] if layout and number == 1 else [],
                     labhca=options.labhca and number == 1, iommu=options.iommu, engines=options.engines)
            for number in range(1, options.hosts + 1)]


def _progress(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


def _words(options, example):
    if not options.words:
        sys.stderr.write(f"lab: no command is given; write it after --, as in: {example}\n")
        raise SystemExit(2)
    return options.words


def write_output(stream, data):
    """Pass the output of a guest's command on as it is."""
    file = sys.stdout.buffer if stream == "stdout" else sys.stderr.buffer
    file.write(data)
    file.flush()


def _fetch(options):
    names = NAMES if options.kernel == "all" else [options.kernel]
    fetch.fetch(names, _progress, options.refresh)
    if options.builder:
        for name in names:
            builder.builder(name, _progress)
    if options.engines:
        engines.engines_root(_progress)
    return _status(options)


def _run(options):
    words = _words(options, "lab run -- uname -a")
    with Lab(_progress) as lab:
        first = lab.boot(*_specs(options), join=True)[0]
        return first.start(words).wait_raw(on_output=write_output).code


def _up(options):
    with remote.endpoint() as server, Lab(_progress) as lab:
        hosts = lab.boot(*_specs(options), join=True)
        for host in hosts:
            _progress(f"{host.name} has the address {host.address}; try: "
                      f"lab exec {host.name} -- uname -a")
        _progress("press Ctrl-C to end")
        remote.serve(server, hosts)
    return 0


def _exec(options):
    return remote.execute(options.host, _words(options, "lab exec host1 -- uname -a"),
                          write_output)


def _shell(options):
    with Lab(_progress) as lab:
        lab.shell(_specs(options)[0])
    return 0


def _status(_options):
    root = guest_root()
    print(f"cache            {cache.lab_cache()}")
    print(f"guest root       {root or 'not fetched'}")
    print(f"with engines     {engines.current() or 'not fetched'}")
    fetched = [found for name in NAMES if (found := kernel(name))]
    for name in NAMES:
        found = kernel(name)
        print(f"kernel {name:<10}{found.version if found else 'not fetched'}")
    print(f"QEMU             {qemu.version() or 'not installed: apt-get install qemu-system-x86'}")
    if root and fetched and qemu.version():
        print(f"accelerator      {accelerator(fetched[0], root, _progress)}")
    return 0


def _clean(_options):
    with cache.building(_progress), cache.locked("use", wait=False) as unused:
        if not unused:
            raise LabError("Machines of the lab are running, or a kernel is being built; end that first.")
        for path in cache.lab_cache().iterdir():
            if path.suffix != ".lock":
                cache.remove(path)
    return 0
