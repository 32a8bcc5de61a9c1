// SPDX-License-Identifier: Apache-2.0

package import PeerMRCore

/// Sizes as people write them: `4K,64K,1M`, ranges `4K..1G` in steps of 4, or both.
package enum SizeList {
    /// What is measured where nothing is said.
    package static let usual = "4K..1G"

    /// Reads a list; the sizes come sorted, each once.
    ///
    /// - Throws: `invalidArgument` for what is no size, no multiple of a page, or a range that goes down.
    package static func parse(_ text: String) throws(PeerMRError) -> [UInt64] {
        var sizes: Set<UInt64> = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = item.split(separator: ".", omittingEmptySubsequences: false)
            // "4K..1G" falls into "4K", "" and "1G".
            switch ends.count {
            case 1: sizes.insert(try size(item))
            case 3 where ends[1].isEmpty: sizes.formUnion(try range(try size(ends[0]), try size(ends[2])))
            default: throw malformed(item)
            }
        }
        return sizes.sorted()
    }

    /// Reads a list of byte counts that may be 0 and of any length, in the order given, each once.
    package static func counts(_ text: String) throws(PeerMRError) -> [UInt64] {
        var counts: [UInt64] = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let count = ByteCount.parse(String(item)) else { throw malformed(item) }
            if !counts.contains(count) { counts.append(count) }
        }
        return counts
    }

    private static func size(_ text: Substring) throws(PeerMRError) -> UInt64 {
        guard let size = ByteCount.parse(String(text)), size > 0 else { throw malformed(text) }
        guard size % UInt64(pageBytes) == 0 else {
            throw .partOfPage(size, pageBytes)
        }
        return size
    }

    private static func range(_ first: UInt64, _ last: UInt64) throws(PeerMRError) -> [UInt64] {
        guard first <= last else {
            throw .descendingRange(first, last)
        }
        var sizes: [UInt64] = []
        var size = first
        while size < last {
            sizes.append(size)
            let (next, overflow) = size.multipliedReportingOverflow(by: 4)
            if overflow { break }
            size = next
        }
        return sizes + [last]
    }

    private static func malformed(_ text: Substring) -> PeerMRError {
        .malformedSize(text.quoted)
    }
}
