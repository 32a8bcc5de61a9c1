// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import TestSupport

/// What a process of the lab had mapped, on Linux 7.3.4: p2pmem, dma-bufs of udmabuf and of a heap, BARs, and the rest.
enum CapturedMap {
    static let pool =
        "7fbd93e69000-7fbd93e79000 rw-s 00000000 00:20 15926                      "
        + "/sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0/p2pmem/allocate"

    static let text = """
        00400000-00420000 r--p 00000000 00:1c 19834567                           /usr/bin/python3.13
        00420000-00740000 r-xp 00020000 00:1c 19834567                           /usr/bin/python3.13
        00a85000-00af9000 rw-p 00000000 00:00 0\u{20}
        215d5000-21804000 rw-p 00000000 00:00 0                                  [heap]
        7fbd93c00000-7fbd93e00000 rw-p 00000000 00:14 425                        /anon_hugepage (deleted)
        7fbd93e32000-7fbd93e33000 rw-s fee00000 00:09 3                          /dev/mem
        7fbd93e33000-7fbd93e35000 rw-s 00000000 00:25 2                          /tmp/a file (deleted)
        7fbd93e35000-7fbd93e37000 rw-s 00000000 00:01 4                          /dev/zero (deleted)
        7fbd93e37000-7fbd93e39000 rw-s 00000000 00:01 2                          /memfd:payload (deleted)
        7fbd93e3a000-7fbd93e3b000 rw-s fea02000 00:20 1911                       \
        /sys/devices/pci0000:00/0000:00:1e.1/resource1
        7fbd93e3b000-7fbd93e3c000 rw-s fea00000 00:20 1805                       \
        /sys/devices/pci0000:00/0000:00:02.0/resource0
        7fbd93e41000-7fbd93e51000 rw-s 00000000 00:0e 2                          /dmabuf:
        7fbd93e51000-7fbd93e59000 rw-s 00004000 00:0e 1                          /dmabuf:frame store
        7fbd93e59000-7fbd93e69000 rw-s 00000000 00:0e 1                          /dmabuf:frame store
        \(pool)
        7fbd93e79000-7fbd93f79000 rw-p 00000000 00:00 0\u{20}
        7fbd93f86000-7fbd93f87000 rw-p 07380000 00:0e 2                          /dmabuf:
        7fbd93f87000-7fbd93f89000 rw-s 00000000 00:20 15926                      \
        /sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0/p2pmem/allocate
        7fbd945b5000-7fbd945b6000 r--s 00000000 00:0e 1                          /dmabuf:frame store
        7fbd945ba000-7fbd945be000 r--p 00000000 00:00 0                          [vvar]
        7ffe51099000-7ffe510ba000 rw-p 00000000 00:00 0                          [stack]

        """

    static var root: SystemRoot { root(text) }

    /// A machine with a pool at 0000:01:00.0, and what a process of it has mapped.
    static func root(_ text: String) -> SystemRoot {
        var machine = TestMachine()
        machine.function("0000:01:00.0", below: ["0000:00:02.0"], pool: 65536)
        var tree = machine.tree
        _ = tree.insert(.file(bytes: Array(text.utf8), claimedBytes: 0), at: "proc/self/maps")
        return SystemRoot(tree)
    }
}
