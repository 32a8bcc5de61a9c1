// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import PeerMRCore

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
    /// The kernel's configuration, where the distribution keeps it, and its type information are read in a millisecond
    /// or two; the list of its symbols, which is put together anew for each reader, takes some 50. A captured
    /// tree has what its maker kept.
    static func hasPeerToPeer(root: SystemRoot) -> Bool? {
        if let release = root.attribute("proc/sys/kernel/osrelease"), !release.utf8.contains(0x2f) {
            for file in [configuration(of: release), "boot/config-\(release)"] {
                if holds(file, root, "\(option)=y\n") == true { return true }
                if holds(file, root, "# \(option) is not set\n") == true { return false }
            }
        }
        return typeInformation(root) ?? holds("proc/kallsyms", root, function)
    }

    /// Where a distribution may keep the configuration of a kernel, and where a capture keeps its one line.
    static func configuration(of release: String) -> String { "lib/modules/\(release)/config" }

    /// The line of the configuration that tells.
    static func line(hasPeerToPeer: Bool) -> String {
        hasPeerToPeer ? "\(option)=y\n" : "# \(option) is not set\n"
    }

    /// Whether the kernel's type information (BTF) names the function; nil where it has none that can be understood.
    ///
    /// It is megabytes, read by the page. All names stand together at its end, those of functions last: a search
    /// from the end back is over after some hundred pages.
    private static func typeInformation(_ root: SystemRoot) -> Bool? {
        let wanted = Array(function.utf8)
        let found = root.parts(of: "sys/kernel/btf/vmlinux") { read -> Bool? in
            let header = read(0, 24)
            guard header.count == 24, header[0] == 0x9f, header[1] == 0xeb else { return nil }
            let numbers = stride(from: 4, to: 24, by: 4).map { place in
                header[place..<place + 4].reversed().reduce(0) { $0 << 8 | Int($1) }
            }
            let (headerBytes, namesOffset, namesBytes) = (numbers[0], numbers[3], numbers[4])
            let begin = headerBytes + namesOffset
            guard namesBytes > wanted.count, begin + namesBytes <= limit else { return nil }
            var end = begin + namesBytes
            while end > begin {
                let start = max(begin, end - (1 << 16))
                guard let window = whole(start..<end, read) else { return nil }
                if holds(window, wanted) { return true }
                // A name may lie across the border.
                end = start == begin ? begin : start + wanted.count - 1
            }
            return false
        }
        return found ?? nil
    }

    /// A part of a file that is read in pieces; nil where it ends too soon.
    private static func whole(_ range: Range<Int>, _ read: (Int, Int) -> [UInt8]) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(range.count)
        while bytes.count < range.count {
            // More than a page comes only where the kernel lets it: mostly it would be asked for in vain.
            let part = read(range.lowerBound + bytes.count, min(4096, range.count - bytes.count))
            if part.isEmpty { return nil }
            bytes += part
        }
        return bytes
    }

    /// Whether a file holds a text; nil where it has nothing to read.
    private static func holds(_ file: String, _ root: SystemRoot, _ text: String) -> Bool? {
        let wanted = Array(text.utf8)
        let found = root.parts(of: file) { read -> Bool? in
            // The end of one part may be the beginning of what is wanted.
            var window: [UInt8] = []
            var offset = 0
            while offset < limit {
                let part = read(offset, 1 << 16)
                if part.isEmpty { break }
                offset += part.count
                window += part
                if holds(window, wanted) { return true }
                window.removeFirst(max(0, window.count - wanted.count + 1))
            }
            return offset == 0 ? nil : false
        }
        return found ?? nil
    }

    /// By memchr, for the rarest of the characters: millions of bytes are looked through, also in a build for
    /// debugging.
    private static func holds(_ bytes: [UInt8], _ wanted: [UInt8]) -> Bool {
        let anchor = wanted.firstIndex(of: 0x32) ?? 0
        guard bytes.count >= wanted.count else { return false }
        return unsafe bytes.withUnsafeBytes { all in
            guard let begin = all.baseAddress else { return false }
            let end = all.count - wanted.count + anchor + 1
            var place = anchor
            while place < end {
                guard let found = unsafe memchr(begin + place, Int32(wanted[anchor]), end - place) else {
                    return false
                }
                place = unsafe begin.distance(to: UnsafeRawPointer(found))
                if unsafe memcmp(begin + place - anchor, wanted, wanted.count) == 0 { return true }
                place += 1
            }
            return false
        }
    }
}
