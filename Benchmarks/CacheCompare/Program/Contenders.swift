// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import CacheRivals
import Glibc
import PeerMR

/// Where the regions are that caches are asked for: addresses that nobody touches.
struct Arena: @unchecked Sendable {
    static let stride = 16384
    static let regionBytes = 8192
    let base: UnsafeMutableRawPointer
    let byteCount: Int

    init(regions: Int) throws {
        byteCount = regions * Self.stride
        guard
            let mapped = mmap(
                nil, byteCount, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), mapped != MAP_FAILED
        else { throw Errno(rawValue: errno) }
        base = mapped
    }
}

/// A cache with regions 0, 1, 2, … in it.
protocol Contender: Sendable {
    /// The name in JSON.
    static var name: String { get }
    init(_ arena: Arena, regions: Int) throws
    /// Looks up each region of a list and gives it back.
    ///
    /// - Returns: a sum over what was found; 0 where something was not.
    func run(_ order: UnsafeBufferPointer<UInt32>) -> UInt64
    /// How long a registration takes from here on, in the thread that calls this and registers.
    static func setRegistrationTime(microseconds: UInt32)
}

/// A domain of the fake device, for as long as the program runs.
struct FakeDomain: @unchecked Sendable {
    let domain: ProtectionDomain
    let state: UnsafeMutableRawPointer?

    static let shared: FakeDomain? = {
        fake_verbs_begin()
        return (try? Device(name: "fake0").open()).flatMap { try? ProtectionDomain($0) }
            .map { FakeDomain(domain: $0, state: fake_verbs_share()) }
    }()
}

struct NoFake: Error {}

struct PeerMRContender: Contender {
    static let name = "peermr"
    let cache: RegistrationCache
    let request: RegionRequest

    init(_ arena: Arena, regions: Int) throws {
        guard let fake = FakeDomain.shared else { throw NoFake() }
        fake_verbs_join(fake.state)
        cache = try RegistrationCache(.init(regions: regions + 1024))
        request = try cache.request(
            for: HostArena(at: arena.base, byteCount: arena.byteCount), on: fake.domain,
            access: [.localWrite, .remoteRead, .remoteWrite])
    }

    func run(_ order: UnsafeBufferPointer<UInt32>) -> UInt64 {
        // As a program would: what holds the request is not looked at for each lookup.
        let (cache, request) = (cache, request)
        var sum: UInt64 = 0
        for number in order {
            do throws(PeerMRError) {
                let lease = try cache.lease(request, at: Int(number) * Arena.stride, count: Arena.regionBytes)
                sum &+= UInt64(lease.keys.localKey)
            } catch {
                return 0
            }
        }
        return sum
    }

    static func setRegistrationTime(microseconds: UInt32) {
        fake_verbs_join(FakeDomain.shared?.state)
        fake_verbs_set_registration_time(microseconds)
    }
}

struct ReaderContender: Contender {
    static let name = "peermrReader"
    let leases: PeerMRContender

    init(_ arena: Arena, regions: Int) throws { leases = try PeerMRContender(arena, regions: regions) }

    func run(_ order: UnsafeBufferPointer<UInt32>) -> UInt64 {
        // What only the reader finds counts: the regions have been registered before.
        if order.count == 1 { return leases.run(order) }
        guard var reader = try? leases.cache.reader() else { return 0 }
        let request = leases.request
        var sum: UInt64 = 0
        for number in order {
            guard
                let keys = reader.keys(
                    request, at: Int(number) * Arena.stride, count: Arena.regionBytes)
            else { return 0 }
            sum &+= UInt64(keys.localKey)
        }
        return sum
    }

    static func setRegistrationTime(microseconds: UInt32) {
        PeerMRContender.setRegistrationTime(microseconds: microseconds)
    }
}

final class UCXContender: Contender, @unchecked Sendable {
    static let name = "ucx"
    private let cache: OpaquePointer

    init(_ arena: Arena, regions: Int) throws {
        guard let made = rivals_ucx_open(arena.base, Arena.stride, Arena.regionBytes, regions + 1024) else {
            throw Errno.noMemory
        }
        cache = made
    }

    deinit { rivals_ucx_close(cache) }

    func run(_ order: UnsafeBufferPointer<UInt32>) -> UInt64 { rivals_ucx_run(cache, order.baseAddress, order.count) }

    static func setRegistrationTime(microseconds: UInt32) { rivals_set_delay(microseconds) }
}

final class LibfabricContender: Contender, @unchecked Sendable {
    static let name = "libfabric"
    private let cache: OpaquePointer

    init(_ arena: Arena, regions: Int) throws {
        guard let made = rivals_libfabric_open(arena.base, Arena.stride, Arena.regionBytes, regions + 1024) else {
            throw UnknownVersion(version: String(cString: rivals_libfabric_version()))
        }
        cache = made
    }

    func run(_ order: UnsafeBufferPointer<UInt32>) -> UInt64 {
        rivals_libfabric_run(cache, order.baseAddress, order.count)
    }

    static func setRegistrationTime(microseconds: UInt32) { rivals_set_delay(microseconds) }
}

struct UnknownVersion: Error, CustomStringConvertible {
    let version: String
    var description: String { "the cache of libfabric \(version) is not known here: install version 1.17" }
}
