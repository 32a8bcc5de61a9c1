// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import SystemPackage
package import PeerMRCore
package import Verbs

/// Makes the pages of host memory be there, so that a registration does not wait for them to be cleared.
package enum HostPopulation {
    /// What became of it.
    package enum Outcome: Hashable, Sendable {
        /// The pages are there.
        case populated
        /// The kernel makes no pages for such a mapping: a device's, for example.
        case leftAlone
        /// Linux before 5.14 has no call for it.
        case unsupported
    }

    /// Asks for huge pages in all of a range, before any of it is populated.
    package static func askForHugePages(_ range: IOVector) {
        unsafe peermr_ask_for_huge_pages(UnsafeMutableRawPointer(bitPattern: range.address), range.byteCount)
    }

    /// Populates the pages that a range touches.
    ///
    /// - Parameters:
    ///   - range: mapped memory.
    ///   - mayTouch: whether its pages can all be written to without a fault, so that a kernel without the call does
    ///     not matter.
    ///   - hasCall: whether the running kernel has the call (MADV_POPULATE_WRITE).
    /// - Throws: `invalidArgument` (EFAULT) where a file ends before the mapping does, `resourceLimit` (ENOMEM) where
    ///   nothing is mapped, or there is no memory, `system` for memory that is broken (EHWPOISON).
    package static func populate(
        _ range: IOVector, mayTouch: Bool, hasCall: Bool = Self.hasCall
    ) throws(PeerMRError) -> Outcome {
        let page = UInt(pageBytes)
        let first = range.address / page * page
        let byteCount = Int(range.address - first) + range.byteCount
        guard let start = unsafe UnsafeMutableRawPointer(bitPattern: first), byteCount > 0 else { return .leftAlone }
        guard hasCall else {
            guard mayTouch else { return .unsupported }
            unsafe peermr_touch(start, byteCount, pageBytes)
            return .populated
        }
        guard unsafe peermr_populate(start, (byteCount + pageBytes - 1) / pageBytes * pageBytes) != 0 else {
            return .populated
        }
        let errno = currentErrno()
        if errno == .invalidArgument { return .leftAlone }
        throw .populate(errno, byteCount, "0x" + String(first, radix: 16))
    }

    /// Whether the running kernel has the call.
    package static let hasCall = peermr_has_populate() != 0
}
