// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A reference to an object, set once and read without a lock.
///
/// AtomicLazyReference would do, but is not specialized: each load of it costs some 700 instructions.
package struct OnceReference: ~Copyable, Sendable {
    /// The object, retained; 0 until it is set.
    private let bits = Atomic<UInt>(0)

    package init() {}

    deinit {
        if let object = unsafe Self.object(bits.load(ordering: .acquiring)) { unsafe object.release() }
    }

    /// The object; nil until it is set.
    package var object: AnyObject? {
        unsafe Self.object(bits.load(ordering: .acquiring))?.takeUnretainedValue()
    }

    /// Sets the object, once.
    ///
    /// - Returns: the object that is set: another thread may have been first.
    package borrowing func set(_ object: any AnyObject & Sendable) -> AnyObject {
        let new = unsafe Unmanaged<AnyObject>.passRetained(object)
        let (isFirst, found) = bits.compareExchange(
            expected: 0, desired: UInt(bitPattern: unsafe new.toOpaque()), ordering: .acquiringAndReleasing)
        guard !isFirst, let other = unsafe Self.object(found) else { return object }
        unsafe new.release()
        return unsafe other.takeUnretainedValue()
    }

    @unsafe private static func object(_ bits: UInt) -> Unmanaged<AnyObject>? {
        unsafe UnsafeRawPointer(bitPattern: bits).map { unsafe Unmanaged<AnyObject>.fromOpaque($0) }
    }
}
