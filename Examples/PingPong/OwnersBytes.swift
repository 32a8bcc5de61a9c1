// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// Host memory that stands in for a dma-buf where the processor looks at bytes: a dma-buf has no address here.
///
/// Both areas of a station lie in it as they lie in the dma-buf. Its bytes come from there, and go there, by way of the
/// buffer's owner: VFIO's file, or a mapping. Untouched, it is address space and no memory.
final class StandIn {
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
extension Station {
    /// Brings the bytes that have been written into the stand-in to where the NIC takes them.
    @inline(never)
    func putThroughOwner(_ address: UInt, count: Int) throws(LoopEnd) {
        guard let standIn, let bytes = unsafe UnsafeRawPointer(bitPattern: address) else { return }
        do throws(PeerMRError) {
            try region.write(
                unsafe RawSpan(_unsafeStart: bytes, byteCount: count), at: Int(address - standIn.address))
        } catch {
            standIn.failure = error
            throw .unreachable
        }
    }

    /// Brings the bytes that the NIC has put down into the stand-in.
    @inline(never)
    func takeThroughOwner(_ address: UInt, count: Int) throws(LoopEnd) {
        guard let standIn, let bytes = unsafe UnsafeMutableRawPointer(bitPattern: address) else { return }
        var span = unsafe MutableRawSpan(_unsafeStart: bytes, byteCount: count)
        do throws(PeerMRError) {
            try region.read(into: &span, at: Int(address - standIn.address))
        } catch {
            standIn.failure = error
            throw .unreachable
        }
    }

    /// Looks whether memory of a device is still there, or is being asked for; some microseconds.
    @inline(never)
    func lookAtMemory() throws(LoopEnd) {
        guard let loss = region.loss() else { return }
        standIn?.failure = loss
        throw .unreachable
    }

    /// The end of a loop of this station, in words.
    func words(for end: LoopEnd) -> PeerMRError {
        switch end {
        case .unreachable: standIn?.failure ?? .loop(end)
        // What a NIC says of memory that is gone is no more than a status.
        case .failed where region.kind != .host: region.loss() ?? .loop(end)
        default: .loop(end)
        }
    }
}
