// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore
public import Verbs

/// Memory that this process has mapped: what `ibv_reg_mr` takes, and other devices' drivers too.
public protocol MappingBacked: Memory {
    /// The first byte.
    var baseAddress: UnsafeMutableRawPointer { get }
}

extension MappingBacked {
    /// How a device gets at the memory. See ``Verbs/Memory/backing(for:)``.
    public func backing(for access: Access) throws(PeerMRError) -> MemoryBacking {
        .mapped(IOVector(address: unsafe UInt(bitPattern: baseAddress), byteCount: byteCount))
    }

    /// Copies bytes out of the memory. See ``Verbs/Memory/read(into:at:)``.
    public func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        try KernelCopy.read(address(offset, bytes.byteCount), into: &bytes, provider)
    }

    /// Copies bytes into the memory. See ``Verbs/Memory/write(_:at:)``.
    public func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        try KernelCopy.write(bytes, address(offset, bytes.byteCount), provider)
    }

    private func address(_ offset: Int, _ count: Int) throws(PeerMRError) -> UInt {
        try validate(offset, count)
        return unsafe UInt(bitPattern: baseAddress) + UInt(offset)
    }
}

extension Memory {
    /// Whether a range is inside the memory.
    ///
    /// - Throws: `invalidArgument` where it is not.
    package func validate(_ offset: Int, _ count: Int) throws(PeerMRError) {
        guard offset >= 0, offset <= byteCount, count <= byteCount - offset else {
            throw .outsideMemory(offset, count, byteCount)
        }
    }
}
