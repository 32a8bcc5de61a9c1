// SPDX-License-Identifier: Apache-2.0

internal import CUring
internal import SystemPackage

/// An io_uring with its count of operations: what the queues of this module have in common. Closed with the value.
@safe
struct Ring: ~Copyable {
    let raw: OpaquePointer
    /// Operations prepared or started whose completion has not been taken.
    private(set) var inFlight = 0
    private var prepared: UInt32 = 0

    /// Takes ownership of an open ring.
    init(adopting raw: OpaquePointer) { unsafe self.raw = raw }

    deinit {
        unsafe peermr_uring_close(raw)
    }

    /// Readable when there are completions to take.
    var descriptor: Int32 { unsafe peermr_uring_descriptor(raw) }

    /// Counts an operation that was prepared; the errno of one that was not.
    mutating func took(_ result: Int32) throws(Errno) {
        guard result == 0 else { throw Errno(rawValue: -result) }
        prepared += 1
        inFlight += 1
    }

    /// Starts what has been prepared.
    mutating func submit() throws(Errno) {
        guard prepared > 0 else { return }
        let result = unsafe peermr_uring_submit(raw)
        guard result >= 0 else { throw Errno(rawValue: -result) }
        prepared -= UInt32(result)
    }

    /// Takes one completion, its tag and its result; never waits.
    mutating func next() -> (tag: UInt64, result: Int32)? {
        var tag: UInt64 = 0
        var result: Int32 = 0
        guard unsafe peermr_uring_next(raw, &tag, &result) == 1 else { return nil }
        inFlight -= 1
        return (tag, result)
    }
}
