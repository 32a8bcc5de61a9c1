// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// The primary context of a GPU, held.
@safe
final class CUDAContext: @unchecked Sendable {
    private let library: CUDALibrary
    private let device: Int32
    private let raw: OpaquePointer

    init(_ library: CUDALibrary, _ device: Int32) throws(PeerMRError) {
        var raw: OpaquePointer?
        try unsafe library.check("cuDevicePrimaryCtxRetain", library.functions.retainContext(&raw, device))
        guard let raw = unsafe raw else { throw .cudaGaveNoContext() }
        self.library = library
        self.device = device
        unsafe self.raw = raw
    }

    deinit {
        _ = library.functions.releaseContext(device)
    }

    /// Runs something with this context as the thread's, and puts back what was.
    func whileCurrent(_ body: () throws(PeerMRError) -> Void) throws(PeerMRError) {
        try unsafe library.check("cuCtxPushCurrent", library.functions.pushContext(raw))
        defer {
            var before: OpaquePointer?
            _ = unsafe library.functions.popContext(&before)
        }
        try body()
    }
}
