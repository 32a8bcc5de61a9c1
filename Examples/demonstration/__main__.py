# SPDX-License-Identifier: Apache-2.0
"""The demo's command line. `Examples/demo` starts it when the machine has what it needs."""
import argparse
import os
import signal
import sys
from pathlib import Path

sys.dont_write_bytecode = True
# Until there is something to tidy up, Ctrl-C just ends this.
signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from peerlab import LabError    # noqa: E402
import dma                      # noqa: E402
import hardware                 # noqa: E402
import virtual                  # noqa: E402
from report import DemoError    # noqa: E402

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def byte_count(text):
    """Bytes as a user writes them: 4096, 64K, 2M."""
    digits = text.rstrip("KMGTkmgt")
    unit = text[len(digits):].upper()
    if not digits.isdecimal() or unit not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes, such as 4096, 64K or 2M")
    return int(digits) << _UNITS[unit]


def arguments():
    parser = argparse.ArgumentParser(
        prog="Examples/demo", description="Sends a file over RDMA into an NVMe drive's controller "
        "memory buffer, from there into the drive, and back; by default between two virtual hosts.")
    parser.add_argument("--file", type=Path, help="the file to send; by default the guests' kernel")
    parser.add_argument("--offset", type=byte_count, default=0, metavar="BYTES",
                        help="where on the drive; a multiple of 512")
    parser.add_argument("--report", type=Path, metavar="FILE",
                        help="write the result there as JSON; keeps the drive's image beside it")
    parser.add_argument("--keep", action="store_true",
                        help="keep the drive's image: beside the report, else in this directory")
    parser.add_argument("--memory", choices=["p2pmem", "host"], default="p2pmem",
                        help="what the slots are made of: the drive's memory, or the host's")
    parser.add_argument("--dma", action="store_true",
                        help="show true DMA instead, on one virtual host: the DMA engine of an emulated RDMA device "
                        "writes and reads the drive's memory; slow, so send little")
    parser.add_argument("--programs", type=Path, metavar="DIR",
                        help="use the programs there instead of building them")
    real = parser.add_argument_group(
        "on real hardware", "The same programs on this machine's RDMA device and drive. "
        "The drive's contents at --offset are lost.")
    real.add_argument("--hardware", action="store_true", help="use this machine's devices")
    real.add_argument("--nvme", metavar="DEVICE", help="the drive, such as /dev/nvme0n1")
    real.add_argument("--address", help="the address of this machine's RDMA interface")
    real.add_argument("--role", choices=["both", "server", "client"], default="both",
                      help="both ends as two processes here, or one end of two machines")
    real.add_argument("--connect", metavar="ADDRESS", help="the server's address, for the client")
    real.add_argument("--allow", action="append", default=[], metavar="ADDRESS",
                      help="a client's address, for the server")
    real.add_argument("--overwrite", action="store_true",
                      help="take a drive that is mounted or holds something")
    options = parser.parse_args()
    if options.offset % 512:
        parser.error(f"--offset {options.offset} is not at the beginning of a block: take a "
                     "multiple of 512")
    if options.file and not options.file.is_file():
        parser.error(f"--file {options.file} is no file: name one that this user may read")
    if options.file and options.file.stat().st_size == 0:
        parser.error(f"--file {options.file} is empty: name a file with something in it")
    if options.report and not options.report.absolute().parent.is_dir():
        parser.error(f"--report {options.report}: there is no such directory")
    program = dma.PROGRAM if options.dma else "nic-to-nvme"
    if options.programs and not (options.programs / program).is_file():
        parser.error(f"--programs {options.programs}: there is no {program} in it")
    if options.dma and (options.hardware or options.memory != "p2pmem"):
        parser.error("--dma is for peer memory in a virtual machine: leave --hardware and --memory out")
    if not options.hardware and (options.nvme or options.address or options.connect):
        parser.error("--nvme, --address and --connect need --hardware: without it the demo runs in "
                     "virtual machines")
    return options


def main():
    options = arguments()
    way = hardware if options.hardware else dma if options.dma else virtual
    try:
        return way.run(options)
    except (DemoError, LabError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"demo: {error.strerror}: {error.filename or ''}; see whether there is room and the "
              "rights suffice", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


sys.exit(main())
