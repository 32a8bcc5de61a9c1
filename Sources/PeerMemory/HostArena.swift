// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore
public import Verbs

/// Host memory that the application has mapped itself and answers for: the object is what a cache knows it by.
///
/// The application keeps it mapped as long as the object lives, and any region over it. It ends the regions of a cache
/// before it unmaps the memory.
@safe
public final class HostArena: MappingBacked, @unchecked Sendable {
    /// The address of the first byte.
    public let baseAddress: UnsafeMutableRawPointer
    /// The length in bytes.
    public let byteCount: Int
    /// What kind of memory it is.
    public var kind: MemoryKind { .host }

    /// An arena over memory of the application.
    ///
    /// - Throws: `invalidArgument` for no bytes, and for more than the address space has behind `address`.
    @unsafe
    public init(at address: UnsafeMutableRawPointer, byteCount: Int) throws(PeerMRError) {
        let start = UInt64(UInt(bitPattern: address))
        guard byteCount > 0 else { throw .emptyRange(start) }
        guard start <= .max - UInt64(byteCount) else { throw .rangeWraps(start, UInt64(byteCount)) }
        unsafe baseAddress = address
        self.byteCount = byteCount
    }
}
