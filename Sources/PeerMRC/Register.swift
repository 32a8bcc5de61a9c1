// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

public import CPeerMR
public import CVerbs
internal import PCITopology
internal import PeerMR
internal import PeerMemory
internal import PeerMRCore
internal import Verbs

/// What struct peermr_options says, as the library has it.
struct Options {
    var access: Access = [.localWrite]
    var fallback = Fallback.refuse
    var registration = RegistrationOptions()
    var provider: PCIAddress?
    var widening = RegistrationCache.Widening.none

    /// - Parameter forCache: whether they are of a request: then nothing bounces, and it may widen.
    /// - Throws: `invalidArgument` for what no version has.
    init(_ pointer: UnsafePointer<peermr_options>?, forCache: Bool = false) throws(PeerMRError) {
        guard let pointer = unsafe pointer else { return }
        var given = unsafe peermr_options()
        unsafe try Structs.read(pointer, "peermr_options", into: &given)
        access = Access(rawValue: UInt32(bitPattern: unsafe given.access))
        switch unsafe given.fallback {
        case PEERMR_FALLBACK_REFUSE: fallback = .refuse
        case PEERMR_FALLBACK_BOUNCE: fallback = .bounce
        default: throw .unknownValue(UInt64(unsafe given.fallback.rawValue), "enum peermr_fallback")
        }
        let (hasAddress, widens) = (UInt32(1), UInt32(2))
        guard unsafe given.flags & ~(hasAddress | widens) == 0 else {
            throw .unknownValue(UInt64(unsafe given.flags), "set of PEERMR_OPTION_ flags")
        }
        guard unsafe given.reserved == 0 else { throw .unknownMembers("peermr_options") }
        guard unsafe forCache || given.flags & widens == 0 else { throw .wideningElsewhere() }
        guard !forCache || fallback == .refuse else { throw .cacheFallback() }
        if unsafe given.flags & widens != 0 { widening = .buffer }
        if unsafe given.flags & hasAddress != 0 { registration.ioAddress = unsafe given.io_address }
        if unsafe given.provider_bdf != nil { provider = unsafe try address(given.provider_bdf, "provider_bdf") }
    }
}

@c @implementation
public func peermr_register_p2pmem(
    _ pd: UnsafeMutablePointer<ibv_pd>?, _ memory: OpaquePointer?, _ options: UnsafePointer<peermr_options>?,
    _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    unsafe register(pd, options, out) { (domain, options) throws(PeerMRError) in
        // Registered while nobody can free it.
        unsafe try Live.memories.use(memory) { (box) throws(PeerMRError) in
            unsafe RegionBox(try register(box.memory, domain, options))
        }
    }
}

@c @implementation
public func peermr_register_dmabuf(
    _ pd: UnsafeMutablePointer<ibv_pd>?, _ fd: Int32, _ offset: UInt64, _ length: UInt64,
    _ options: UnsafePointer<peermr_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    unsafe register(pd, options, out) { (domain, options) throws(PeerMRError) in
        let region = try bouncing(byteCount(length), domain, options) { () throws(PeerMRError) in
            let memory = try DMABufMemory(
                duplicating: fd, offset: offset, byteCount: length, provider: options.provider)
            return try PeerRegion(
                registering: memory, on: domain, access: options.access, options: options.registration)
        }
        return unsafe RegionBox(region)
    }
}

@c @implementation
public func peermr_register_address(
    _ pd: UnsafeMutablePointer<ibv_pd>?, _ address: UnsafeMutableRawPointer?, _ length: UInt64,
    _ options: UnsafePointer<peermr_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    unsafe register(pd, options, out) { (domain, options) throws(PeerMRError) in
        guard let address = unsafe address else { throw .null("address") }
        // The length is one that memory can have.
        _ = try byteCount(length)
        // What is not mapped has no replacement: that is refused before the fallback is asked.
        let memory = unsafe try UserMemory(
            at: UInt64(UInt(bitPattern: address)), byteCount: length, provider: options.provider)
        let region = try register(memory, domain, options)
        return unsafe RegionBox(region, at: address)
    }
}

/// What all that register have in common: what they are given is looked at first, and a region becomes a handle.
func register(
    _ pd: UnsafeMutablePointer<ibv_pd>?, _ options: UnsafePointer<peermr_options>?,
    _ out: UnsafeMutablePointer<OpaquePointer?>?, _ body: (ProtectionDomain, Options) throws(PeerMRError) -> RegionBox
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try validate(out)
        let domain = unsafe try validateDomain(pd)
        let region = unsafe try body(domain, Options(options))
        unsafe out.pointee = try Live.regions.add(region)
    }
}

/// The application's domain.
func validateDomain(_ pd: UnsafeMutablePointer<ibv_pd>?) throws(PeerMRError) -> ProtectionDomain {
    guard let pd = unsafe pd else { throw .null("struct ibv_pd") }
    guard let domain = unsafe ProtectionDomain(adopting: UnsafeMutableRawPointer(pd)) else {
        throw .domainWithoutContext()
    }
    return domain
}

func register(
    _ memory: any Memory, _ domain: ProtectionDomain, _ options: Options
) throws(PeerMRError) -> PeerRegion {
    try bouncing(memory.byteCount, domain, options) { () throws(PeerMRError) in
        try PeerRegion(registering: memory, on: domain, access: options.access, options: options.registration)
    }
}

/// Registers, or takes host memory where that is refused and the application wants so.
private func bouncing(
    _ bytes: Int, _ domain: ProtectionDomain, _ options: Options, _ body: () throws(PeerMRError) -> PeerRegion
) throws(PeerMRError) -> PeerRegion {
    let refusal: PeerMRError
    do throws(PeerMRError) {
        return try body()
    } catch {
        refusal = error
    }
    // What is wrong in the call itself would be wrong for any memory.
    guard options.fallback == .bounce, refusal.code != .invalidArgument else { throw refusal }
    return try .bounce(bytes, on: domain, access: options.access, because: refusal)
}
