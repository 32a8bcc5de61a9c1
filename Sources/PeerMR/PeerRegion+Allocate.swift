// SPDX-License-Identifier: Apache-2.0

internal import PeerMemory
public import PeerMRCore
public import Verbs

/// Which memory a region is wanted over.
public enum MemoryRequest: Hashable, Sendable {
    /// The host's.
    case host
    /// The peer-to-peer memory of a PCI function.
    case p2pmem(PCIAddress)
}

/// What to do where peer memory cannot be allocated or registered.
public enum Fallback: Hashable, Sendable {
    /// Throw, with the reason: the default.
    case refuse
    /// Take host memory instead: every byte then goes through a buffer, and is counted as bounced.
    case bounce
}

extension PeerRegion {
    /// Allocates memory and registers it.
    ///
    /// - Parameters:
    ///   - byteCount: how much; rounded up to pages.
    ///   - request: which memory.
    ///   - domain: where to register it, kept as long as the region lives.
    ///   - access: what the device, and its peers, may do.
    ///   - fallback: what to do where peer memory cannot be allocated or registered.
    /// - Throws: as the allocation and ``init(registering:on:access:options:)`` do.
    public static func allocate(
        _ byteCount: Int, of request: MemoryRequest, on domain: ProtectionDomain, access: Access,
        fallback: Fallback = .refuse
    ) throws(PeerMRError) -> PeerRegion {
        let refusal: PeerMRError
        switch request {
        case .host:
            let memory = try HostMemory(allocating: byteCount)
            return try PeerRegion(registering: memory, on: domain, access: access)
        case .p2pmem(let provider):
            do {
                let memory = try P2PMemory(allocating: byteCount, from: provider)
                return try PeerRegion(registering: memory, on: domain, access: access)
            } catch {
                refusal = error
            }
        }
        guard fallback == .bounce else { throw refusal }
        return try .bounce(byteCount, on: domain, access: access, because: refusal)
    }

    /// Zeroed host memory, registered in place of what was refused.
    ///
    /// - Throws: as ``allocate(_:of:on:access:fallback:)`` does for host memory.
    package static func bounce(
        _ byteCount: Int, on domain: ProtectionDomain, access: Access, because refusal: PeerMRError
    ) throws(PeerMRError) -> PeerRegion {
        try PeerRegion(
            registering: try HostMemory(allocating: byteCount), on: domain, access: access,
            options: RegistrationOptions(), bounceReason: refusal)
    }
}
