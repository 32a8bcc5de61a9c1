// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// Memory that can become a region: a run of bytes that stays where it is as long as the value lives.
public protocol RegistrableMemory: ~Copyable {
    /// The first byte.
    var baseAddress: UnsafeMutableRawPointer { get }
    /// How many bytes there are.
    var byteCount: Int { get }
}

/// A memory region. It owns its memory: the device is told to forget it before the memory goes.
@safe
public struct MemoryRegion<Memory: RegistrableMemory & ~Copyable>: ~Copyable {
    private let registration: MappedRegistration
    /// The domain, kept as long as the region lives.
    public let domain: ProtectionDomain
    /// The memory, kept as long as the region lives.
    public let memory: Memory
    /// What addresses work requests need: plain numbers, valid as long as the region lives.
    public let keys: RegionKeys
    private let handle: DMAHandle?

    /// Registers memory.
    ///
    /// Pinned, unless `access` has ``Access/onDemand``: the pages are locked into RAM now and count against
    /// RLIMIT_MEMLOCK.
    ///
    /// - Parameters:
    ///   - memory: what to register; the region becomes its owner. It is freed when registration fails.
    ///   - domain: the domain that the region belongs to.
    ///   - access: what the device may do. Remote access lets a peer change or read the memory at any time.
    ///   - constraint: the transfers that the device does right on this region; see ``TransferConstraint``.
    ///   - handle: hints for the device's writes; nil for none.
    /// - Throws: EFAULT where pages cannot be pinned (peer memory), ENOMEM or EPERM at the memory lock limit, EINVAL
    ///   for remote write without local write, EOPNOTSUPP.
    ///   The corresponding C functions are `ibv_reg_mr` and, with a handle, `ibv_reg_mr_ex`.
    public init(
        registering memory: consuming Memory, on domain: ProtectionDomain,
        access: Access = [.localWrite], constraint: TransferConstraint = .any, handle: DMAHandle? = nil
    ) throws(PeerMRError) {
        let made = unsafe try MappedRegistration(
            of: memory.baseAddress, byteCount: memory.byteCount, on: domain, access: access, constraint: constraint,
            handle: handle)
        unsafe registration = made
        self.domain = domain
        self.memory = memory
        self.handle = handle
        unsafe keys = made.keys
    }

    deinit {
        unsafe registration.end()
    }
}

/// What a ``MemoryRegion`` asks of the device, without the memory: a layer that has one type of memory is spared what
/// generic values cost, which is some hundred nanoseconds each time.
///
/// Who makes one keeps domain, memory and handle, and ends it once, before any of these goes.
@unsafe
package struct MappedRegistration: Copyable {
    private let raw: UnsafeMutablePointer<ibv_mr>
    /// What addresses work requests need.
    package let keys: RegionKeys

    /// Registers memory; see ``MemoryRegion/init(registering:on:access:constraint:handle:)``.
    package init(
        of address: UnsafeMutableRawPointer, byteCount: Int, on domain: ProtectionDomain, access: Access,
        constraint: TransferConstraint, handle: DMAHandle?
    ) throws(PeerMRError) {
        guard let raw = unsafe Self.register(address, byteCount, domain, access, handle) else {
            throw .register(
                currentErrno(), byteCount: byteCount, access: access, device: domain.context.device)
        }
        unsafe self.raw = raw
        unsafe keys = RegionKeys(
            address: UInt64(UInt(bitPattern: address)), byteCount: UInt64(byteCount),
            localKey: raw.pointee.lkey, remoteKey: raw.pointee.rkey, constraint: constraint)
    }

    private static func register(
        _ address: UnsafeMutableRawPointer, _ byteCount: Int, _ domain: ProtectionDomain, _ access: Access,
        _ handle: DMAHandle?
    ) -> UnsafeMutablePointer<ibv_mr>? {
        guard let handle else {
            return unsafe ibv_reg_mr(domain.raw, address, byteCount, Int32(access.rawValue))
        }
        var attributes = unsafe peermr_mr_init_attr()
        unsafe attributes.length = byteCount
        unsafe attributes.access = Int32(access.rawValue)
        unsafe attributes.addr = address
        unsafe attributes.dmah = handle.raw
        unsafe attributes.comp_mask = UInt64(PEERMR_MR_ADDR | PEERMR_MR_DMAH)
        return unsafe peermr_reg_mr_ex(domain.raw, &attributes)
    }

    /// The C object. Valid until the end.
    package var rawObject: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(raw) }

    /// Deregisters. Once only.
    package func end() {
        _ = unsafe ibv_dereg_mr(raw)
    }

    /// Deregisters a C object of any registration, and says so where that is refused.
    package static func deregister(_ object: UnsafeMutableRawPointer, of device: Device) throws(PeerMRError) {
        let result = unsafe ibv_dereg_mr(object.assumingMemoryBound(to: ibv_mr.self))
        guard result == 0 else { throw .deregister(Errno(rawValue: result), device) }
    }
}
