// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// What has been found out about a device, so that nobody asks twice.
package final class DeviceInfo: Sendable {
    /// The answer of ``Context/dmaBufSupport()``.
    let dmaBufSupport = Mutex<DMABufSupport?>(nil)
    /// The object of the layer above, retained; 0 until it is set. AtomicLazyReference would do, but is not
    /// specialized: each load of it costs some 700 instructions.
    private let bits = Atomic<UInt>(0)

    init() {}

    deinit {
        if let object = unsafe Self.object(bits.load(ordering: .acquiring)) { unsafe object.release() }
    }

    /// What the layer above remembers of the device; nil until it is set.
    package var layer: AnyObject? {
        unsafe Self.object(bits.load(ordering: .acquiring))?.takeUnretainedValue()
    }

    /// Sets what the layer above remembers, once.
    ///
    /// - Returns: what is set: another thread may have been first.
    package func setLayer(_ object: any AnyObject & Sendable) -> AnyObject {
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
