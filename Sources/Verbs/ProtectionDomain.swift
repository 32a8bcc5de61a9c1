// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// A protection domain: regions and queue pairs work together only within one.
@safe
public final class ProtectionDomain: @unchecked Sendable {
    let raw: UnsafeMutablePointer<ibv_pd>
    /// The C object, for measurements of the bare calls. Valid as long as this domain lives; do not deallocate it.
    @unsafe package var rawObject: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(raw) }
    /// The device, kept open as long as this domain lives.
    public let context: Context
    private let owned: Bool

    /// Allocates a domain.
    ///
    /// - Throws: ENOMEM when the device has no more. The corresponding C function is `ibv_alloc_pd`.
    public init(_ context: Context) throws(PeerMRError) {
        guard let raw = unsafe ibv_alloc_pd(context.raw) else {
            throw .create("ibv_alloc_pd", currentErrno(), "a protection domain", context.device)
        }
        unsafe self.raw = raw
        self.context = context
        owned = true
    }

    /// Wraps a domain of the application, which keeps it and its context open as long as this object lives, and
    /// deallocates it.
    ///
    /// - Parameter raw: a `struct ibv_pd *` of libibverbs, which nothing can check.
    /// - Returns: nil where it has no context.
    @unsafe
    package init?(adopting raw: UnsafeMutableRawPointer) {
        let raw = unsafe raw.assumingMemoryBound(to: ibv_pd.self)
        guard let context = unsafe raw.pointee.context else { return nil }
        unsafe self.raw = raw
        self.context = unsafe Context(adopting: context)
        owned = false
    }

    deinit {
        if owned { _ = unsafe ibv_dealloc_pd(raw) }
    }
}
