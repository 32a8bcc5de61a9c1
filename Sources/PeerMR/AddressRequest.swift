// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore
public import PeerMemory
public import Verbs

/// What regions are wanted for that are looked up by address: domain and access, for whatever peer memory or dma-buf is
/// mapped at the addresses that leases name.
///
/// ``RegistrationCache/addressRequest(on:access:options:widening:arenas:root:)`` makes it. It keeps the domain and the
/// arenas alive.
public struct AddressRequest: Sendable {
    /// The domain that regions belong to.
    public let domain: ProtectionDomain
    /// What the device, and its peers, may do.
    public let access: Access
    /// What is set besides.
    public let options: RegistrationOptions
    /// What a lookup that finds nothing may register.
    public let widening: RegistrationCache.Widening
    /// Host memory that addresses may be of.
    public let arenas: [HostArena]
    /// What all keys have in common. See ``CacheDomains`` for the number.
    let domainNumber: UInt64
    let traits: UInt64
    let places: ArenaPlaces
    let cache: ObjectIdentifier
    let root: SystemRoot
    /// Whether the kernel can be asked, and means this machine.
    let isLive: Bool
    let isWriting: Bool
}

/// Where the arenas of a request are: what lookups look at.
@safe
final class ArenaPlaces: @unchecked Sendable {
    struct Place {
        let start: UInt64
        let byteCount: UInt64
        let identity: UInt64
    }

    private let places: UnsafeMutableBufferPointer<Place>

    init(_ arenas: [HostArena]) {
        unsafe places = .allocate(capacity: arenas.count)
        for (index, arena) in arenas.enumerated() {
            unsafe places.initializeElement(
                at: index,
                to: Place(
                    start: UInt64(UInt(bitPattern: arena.baseAddress)), byteCount: UInt64(arena.byteCount),
                    identity: UInt64(UInt(bitPattern: ObjectIdentifier(arena)))))
        }
    }

    deinit { unsafe places.deallocate() }

    /// The first arena that has all of a range.
    @inline(__always)
    func find(_ address: UInt64, _ count: UInt64) -> (index: Int, place: Place)? {
        var index = 0
        while unsafe index < places.count {
            let place = unsafe places[index]
            let offset = address &- place.start
            if address >= place.start, offset <= place.byteCount, count <= place.byteCount &- offset {
                return (index, place)
            }
            index &+= 1
        }
        return nil
    }
}
