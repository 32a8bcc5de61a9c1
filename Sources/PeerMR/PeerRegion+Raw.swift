// SPDX-License-Identifier: Apache-2.0

internal import PeerMemory
internal import SystemPackage
package import PeerMRCore
package import Verbs

// What the C library needs of a region that a Swift program does not.
extension PeerRegion {
    /// The `struct ibv_mr *`. Valid as long as the region lives; do not deregister it.
    @unsafe package var rawObject: UnsafeMutableRawPointer {
        switch storage.region {
        case .mapped(let region): unsafe region.rawObject
        case .buffer(let region): unsafe region.rawObject
        case .nic(let region): unsafe region.rawObject
        }
    }

    /// From here on the C object is someone else's, who deregisters it: the end of this value is that of its memory
    /// only. Memory of the NIC is not given away.
    @unsafe package borrowing func detach() {
        switch storage.region {
        case .mapped(let region): region.detach()
        case .buffer(let region): region.detach()
        case .nic: break
        }
    }

    /// Deregisters now, so that a refusal is seen. The value is of no use afterwards.
    ///
    /// - Throws: `busy` (EBUSY) where a memory window is bound to the region, which then goes on as it was.
    package borrowing func deregister() throws(PeerMRError) {
        unsafe try MappedRegistration.deregister(rawObject, of: domain.context.device)
        unsafe detach()
    }

    /// Zeroed host memory, registered in place of what was refused.
    ///
    /// - Throws: as ``allocate(_:of:on:access:fallback:)`` does for host memory.
    package static func bounce(
        _ byteCount: Int, on domain: ProtectionDomain, access: Access, because refusal: PeerMRError
    ) throws(PeerMRError) -> PeerRegion {
        try PeerRegion(
            registering: .host(try HostMemory(allocating: byteCount)), on: domain, access: access,
            options: RegistrationOptions(), bounceReason: refusal)
    }
}
