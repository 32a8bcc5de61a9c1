// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import PeerMRCore

/// An allocation of GPU memory, freed with the object.
final class CUDAAllocation: Sendable {
    /// CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS and
    /// CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD of cuda.h.
    private enum Constant {
        static let exportsBuffers: Int32 = 124
        static let synchronousCopies: Int32 = 6
        static let bufferDescriptor: Int32 = 1
    }
    private static let pageBytes: UInt64 = 2 << 20

    let provider: PCIAddress?
    let byteCount: UInt64
    private let library: CUDALibrary
    private let device: Int32
    private let context: CUDAContext
    private let address: UInt64

    init(_ library: CUDALibrary, ordinal: Int32, byteCount: UInt64) throws(PeerMRError) {
        guard byteCount > 0, byteCount <= UInt64(Int.max) - Self.pageBytes else { throw .impossibleBuffer(byteCount) }
        let rounded = (byteCount + Self.pageBytes - 1) / Self.pageBytes * Self.pageBytes
        let count = try library.deviceCount()
        guard (0..<count).contains(ordinal) else { throw .noCUDADevice(ordinal, count: count) }
        var device: Int32 = 0
        try unsafe library.check("cuDeviceGet", library.functions.device(&device, ordinal))
        provider = Self.address(of: device, library)
        var exports: Int32 = 0
        // Drivers that do not know the attribute do not export either.
        let known = unsafe library.functions.attribute(&exports, Constant.exportsBuffers, device)
        guard known == 0, exports != 0 else { throw .cudaExportsNothing(ordinal, provider) }
        let context = try CUDAContext(library, device)
        var address: UInt64 = 0
        try context.whileCurrent { () throws(PeerMRError) in
            try unsafe library.check(
                "cuMemAlloc", library.functions.allocate(&address, Int(rounded)),
                "\(ByteCount.describe(rounded)) of GPU \(ordinal)")
        }
        self.library = library
        self.device = device
        self.context = context
        self.byteCount = rounded
        self.address = address
        // A copy that has returned must be over for the NIC too: cuda.h asks for this with GPUDirect RDMA.
        try context.whileCurrent { () throws(PeerMRError) in
            var on: UInt32 = 1
            try unsafe library.check(
                "cuPointerSetAttribute", library.functions.setAttribute(&on, Constant.synchronousCopies, address))
        }
    }

    deinit {
        let (library, address) = (library, address)
        try? context.whileCurrent { () throws(PeerMRError) in _ = library.functions.free(address) }
    }

    /// The PCI address that CUDA writes as `00000000:3B:00.0` or `0000:3b:00.0`.
    private static func address(of device: Int32, _ library: CUDALibrary) -> PCIAddress? {
        var text = [CChar](repeating: 0, count: 32)
        let result = unsafe text.withUnsafeMutableBufferPointer { buffer in
            unsafe buffer.baseAddress.map { unsafe library.functions.busAddress($0, Int32(buffer.count), device) }
        }
        guard result == 0 else { return nil }
        let bytes = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return PCIAddress(String(decoding: bytes, as: UTF8.self))
    }

    /// The descriptor of a dma-buf over all of the memory; the caller's.
    func export() throws(PeerMRError) -> Int32 {
        var descriptor: Int32 = -1
        try context.whileCurrent { () throws(PeerMRError) in
            let result = unsafe library.functions.exportRange(
                &descriptor, address, Int(byteCount), Constant.bufferDescriptor, 0)
            try library.check("cuMemGetHandleForAddressRange", result, provider.map { "the GPU \($0)" } ?? "the GPU")
        }
        guard descriptor >= 0 else { throw .cudaGaveNoDescriptor() }
        // CUDA does not say whether it is close-on-exec.
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        return descriptor
    }

    func read(into bytes: inout MutableRawSpan, at offset: UInt64) throws(PeerMRError) {
        guard !bytes.isEmpty else { return }
        _ = try DMABuf.validate(offset: offset, byteCount: UInt64(bytes.byteCount), of: byteCount)
        try unsafe bytes.withUnsafeMutableBytes { (local) throws(PeerMRError) in
            guard let start = local.baseAddress else { return }
            try context.whileCurrent { () throws(PeerMRError) in
                try unsafe library.check(
                    "cuMemcpyDtoH", library.functions.copyOut(start, address + offset, local.count))
                try library.check("cuCtxSynchronize", library.functions.synchronize())
            }
        }
    }

    func write(_ bytes: RawSpan, at offset: UInt64) throws(PeerMRError) {
        guard !bytes.isEmpty else { return }
        _ = try DMABuf.validate(offset: offset, byteCount: UInt64(bytes.byteCount), of: byteCount)
        try unsafe bytes.withUnsafeBytes { (local) throws(PeerMRError) in
            guard let start = local.baseAddress else { return }
            try context.whileCurrent { () throws(PeerMRError) in
                try unsafe library.check(
                    "cuMemcpyHtoD", library.functions.copyIn(address + offset, start, local.count))
                try library.check("cuCtxSynchronize", library.functions.synchronize())
            }
        }
    }
}
