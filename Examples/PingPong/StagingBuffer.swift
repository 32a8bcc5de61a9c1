// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// Host memory for the bytes of a dma-buf that are validated: a dma-buf has no address in this process.
///
/// Both areas of an endpoint are at the same offsets as in the dma-buf. Bytes are copied through the buffer's owner:
/// VFIO's file, or a mapping. Untouched, it is address space and no memory.
final class StagingBuffer {
    private let memory: HostMemory
    /// Why the owner did not hand out bytes, or take them.
    fileprivate var failure: PeerMRError?

    init(byteCount: Int) throws(PeerMRError) {
        memory = try HostMemory(allocating: byteCount)
    }

    /// The address of the first byte.
    var address: UInt { unsafe UInt(bitPattern: memory.baseAddress) }
}

// System calls, each of them: only what is validated goes through here, never a message that is not.
extension Endpoint {
    /// Brings the bytes that have been written into the staging buffer to where the NIC takes them.
    @inline(never)
    func putThroughOwner(_ address: UInt, count: Int) throws(LoopEnd) {
        guard let staging, let bytes = unsafe UnsafeRawPointer(bitPattern: address) else { return }
        do throws(PeerMRError) {
            try region.write(
                unsafe RawSpan(_unsafeStart: bytes, byteCount: count), at: Int(address - staging.address))
        } catch {
            staging.failure = error
            throw .unreachable
        }
    }

    /// Brings the bytes that the NIC has put down into the staging buffer.
    @inline(never)
    func takeThroughOwner(_ address: UInt, count: Int) throws(LoopEnd) {
        guard let staging, let bytes = unsafe UnsafeMutableRawPointer(bitPattern: address) else { return }
        var span = unsafe MutableRawSpan(_unsafeStart: bytes, byteCount: count)
        do throws(PeerMRError) {
            try region.read(into: &span, at: Int(address - staging.address))
        } catch {
            staging.failure = error
            throw .unreachable
        }
    }

    /// Looks whether memory of a device is still there, or is being asked for; some microseconds.
    @inline(never)
    func checkMemory() throws(LoopEnd) {
        guard let loss = region.loss() else { return }
        staging?.failure = loss
        throw .unreachable
    }

    /// The end of a loop of this endpoint, in words.
    func error(for end: LoopEnd) -> PeerMRError {
        switch end {
        case .unreachable: staging?.failure ?? .loop(end)
        // What a NIC says of memory that is gone is no more than a status.
        case .failed where region.kind != .host: region.loss() ?? .loop(end)
        default: .loop(end)
        }
    }
}
