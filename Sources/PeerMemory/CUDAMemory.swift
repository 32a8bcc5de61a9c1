// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore
internal import Verbs

/// Memory of an NVIDIA GPU, exported as a dma-buf, and copied in and out by the GPU's own driver.
///
/// It lives in the primary context of its GPU, which programs share with the CUDA runtime; a thread's current context
/// is the same after each call as before.
public final class CUDAMemory: DMABufBacked {
    /// The dma-buf.
    public let buffer: DMABuf
    /// Where the memory begins in its dma-buf, in bytes.
    public var offset: UInt64 { 0 }
    /// The length in bytes.
    public var byteCount: Int { Int(allocation.byteCount) }
    /// The PCI function whose memory it is, where that is known.
    public var provider: PCIAddress? { allocation.provider }
    private let allocation: CUDAAllocation

    /// Allocates memory of a GPU, and exports it.
    ///
    /// - Parameters:
    ///   - byteCount: how much, in bytes; rounded up to 2 MiB, the page of GPU memory, so that the dma-buf begins and
    ///     ends on pages.
    ///   - ordinal: which GPU, as CUDA counts them (`CUDA_VISIBLE_DEVICES` counts).
    ///   - library: NVIDIA's driver library; see ``CUDALibrary/load(_:)``.
    /// - Throws: `notFound` where there is no GPU of that number, `notSupported` where its driver does not export
    ///   dma-bufs (the closed kernel modules do not), `resourceLimit` without that much free memory. The corresponding
    ///   functions are `cuMemAlloc` and `cuMemGetHandleForAddressRange`.
    public init(allocating byteCount: UInt64, ordinal: Int32, library: CUDALibrary) throws(PeerMRError) {
        let allocation = try CUDAAllocation(library, ordinal: ordinal, byteCount: byteCount)
        buffer = try DMABuf(new: try allocation.export())
        self.allocation = allocation
    }

    /// Copies bytes out of the memory. See ``Verbs/Memory/read(into:at:)``.
    public func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        try allocation.read(into: &bytes, at: try place(offset, bytes.byteCount))
    }

    /// Copies bytes into the memory. See ``Verbs/Memory/write(_:at:)``.
    public func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        try allocation.write(bytes, at: try place(offset, bytes.byteCount))
    }
}
