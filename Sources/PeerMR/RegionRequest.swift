// SPDX-License-Identifier: Apache-2.0

public import Verbs

/// What regions of one memory are wanted for: domain, access and options, looked up once for many leases.
///
/// ``RegistrationCache/request(for:on:access:options:widening:)`` makes it. It keeps memory and domain alive. To use it
/// costs nothing but the lookup.
public struct RegionRequest: Sendable {
    /// The memory.
    public let memory: any Memory
    /// The domain that regions belong to.
    public let domain: ProtectionDomain
    /// What the device, and its peers, may do.
    public let access: Access
    /// What is set besides.
    public let options: RegistrationOptions
    /// What a lookup that finds nothing may register.
    public let widening: RegistrationCache.Widening
    /// The length of the memory, in bytes.
    public let byteCount: Int
    /// Where the memory begins in what the key names, in bytes.
    let offset: UInt64
    let key: CacheKey
    /// The cache that made it, which no request of another finds anything in: see ``CacheDomains``.
    let cache: ObjectIdentifier
    /// Of all requests of the process, only this one has it.
    let number: UInt64

    /// Whether a range is not empty, and inside the memory.
    @inline(__always)
    func has(_ offset: Int, _ count: Int) -> Bool {
        offset >= 0 && count > 0 && offset <= byteCount && count <= byteCount &- offset
    }
}
