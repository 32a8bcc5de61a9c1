// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemSupport

/// Whether the kernel was built with peer-to-peer DMA (CONFIG_PCI_P2PDMA).
///
/// Some distributions leave it out: Debian's 6.12 has none, its 7.3 has.
enum KernelBuild {
    private static let option = "CONFIG_PCI_P2PDMA"
    /// A function that is there with the option alone, and is no inline one without it.
    private static let function = "pci_p2pdma_distance_many"
    private static let limit = 64 << 20

    /// Nil where nothing tells.
    ///
    /// The kernel's configuration, where the distribution keeps it, is read in a millisecond; its type information takes some 20, and
    /// the list of its symbols, which is put together anew for each reader, some 50. A captured tree has what its maker kept.
    static func hasPeerToPeer(root: SystemRoot) -> Bool? {
        if let release = root.attribute("proc/sys/kernel/osrelease"), !release.utf8.contains(0x2f) {
            for file in ["lib/modules/\(release)/config", "boot/config-\(release)"] {
                guard let text = root.contents(file, limit: limit) else { continue }
                if holds(text, "\(option)=y\n") { return true }
                if holds(text, "# \(option) is not set\n") { return false }
            }
        }
        for file in ["sys/kernel/btf/vmlinux", "proc/kallsyms"] {
            guard let names = root.contents(file, limit: limit), !names.isEmpty else { continue }
            return holds(names, function)
        }
        return nil
    }

    /// By memchr: millions of bytes are looked through, also in a build for debugging.
    private static func holds(_ bytes: [UInt8], _ text: String) -> Bool {
        let wanted = Array(text.utf8)
        return unsafe bytes.withUnsafeBytes { all in
            guard let begin = all.baseAddress else { return false }
            var place = 0
            while place + wanted.count <= all.count {
                let left = all.count - place
                guard let found = unsafe memchr(begin + place, Int32(wanted[0]), left) else { return false }
                place = unsafe begin.distance(to: UnsafeRawPointer(found))
                guard place + wanted.count <= all.count else { return false }
                if unsafe memcmp(begin + place, wanted, wanted.count) == 0 { return true }
                place += 1
            }
            return false
        }
    }
}
