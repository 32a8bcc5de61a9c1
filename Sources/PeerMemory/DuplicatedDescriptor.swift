// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import SystemPackage
internal import PeerMRCore

extension OwnedDescriptor {
    /// A duplicate of one of the application's descriptors, which other threads may close at any time.
    ///
    /// - Parameter isMeant: whether a descriptor is of what is looked for.
    /// - Returns: nil where it is not, or is not open any more.
    /// - Throws: `resourceLimit` (EMFILE) without a free descriptor.
    static func duplicate(
        _ descriptor: Int32, where isMeant: (Int32) -> Bool
    ) throws(PeerMRError) -> OwnedDescriptor? {
        guard isMeant(descriptor) else { return nil }
        let duplicate = peermr_duplicate(descriptor)
        guard duplicate >= 0 else {
            let errno = currentErrno()
            if errno == .badFileDescriptor { return nil }
            throw .duplicate(errno, descriptor)
        }
        let file = OwnedDescriptor(adopting: duplicate)
        // Another thread may have closed it, and opened something else by that number.
        guard isMeant(duplicate) else { return nil }
        return file
    }
}
