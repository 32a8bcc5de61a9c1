// SPDX-License-Identifier: Apache-2.0

internal import Verbs

/// What one reader has found, so that the same lookup need not be made again. Nobody else touches it.
@safe
struct ReaderMemory: ~Copyable {
    /// What a lookup found, for as long as no region ends.
    private struct Entry {
        var request: UInt64
        var start: UInt64
        var epoch: UInt64
        var keys: RegionKeys
    }

    private let entries: UnsafeMutablePointer<Entry>
    private static let bits: UInt64 = 12

    init() {
        let none = RegionKeys(address: 0, byteCount: 0, localKey: 0, remoteKey: 0, constraint: .any)
        unsafe entries = .allocate(capacity: 1 << Self.bits)
        unsafe entries.initialize(
            repeating: Entry(request: 0, start: 0, epoch: 0, keys: none), count: 1 << Self.bits)
    }

    deinit { unsafe entries.deallocate() }

    @inline(__always)
    func place(_ request: UInt64, _ start: UInt64) -> Int {
        // The upper bits of the product depend on all bits of the factors.
        Int(truncatingIfNeeded: ((start ^ request &<< 44) &* 0x9e37_79b9_7f4a_7c15) >> (64 &- Self.bits))
    }

    /// The keys of the same lookup as before.
    @inline(__always)
    func hit(
        at place: Int, _ request: UInt64, _ start: UInt64, _ count: UInt64, _ epoch: UInt64
    ) -> RegionKeys? {
        let entry = unsafe entries + place
        // No request has the number 0, which empty entries have.
        guard unsafe entry.pointee.start == start, unsafe entry.pointee.request == request,
            unsafe entry.pointee.epoch == epoch, unsafe entry.pointee.keys.byteCount == count
        else { return nil }
        return unsafe entry.pointee.keys
    }

    @inline(__always)
    func remember(_ keys: RegionKeys, at place: Int, _ request: UInt64, _ start: UInt64, _ epoch: UInt64) {
        unsafe entries[place] = Entry(request: request, start: start, epoch: epoch, keys: keys)
    }
}
