# SPDX-License-Identifier: Apache-2.0
"""Virtual hosts for PeerMR's demo and tests: real RDMA, NVMe and PCI code, no hardware.

    from peerlab import HostSpec, Lab
    with Lab(progress=print) as lab:
        alpha, beta = lab.boot(HostSpec("alpha"), HostSpec("beta"), join=True)
        print(alpha.run(["ping", "-c", "1", beta.address]).stdout)
"""
from .errors import LabError
from .host import Host, HostSpec
from .lab import Lab
from .layout import DRIVE_LAYOUT
from .process import Process, Result
from .unchecked import NAME as BUILT

__all__ = ["BUILT", "DRIVE_LAYOUT", "Host", "HostSpec", "Lab", "LabError", "Process", "Result"]
