// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
public import PeerMRCore
public import Verbs

/// What decides the method: what is known of the device and the kernel.
public struct RegistrationInfo: Hashable, Sendable {
    /// The device's name, for messages.
    public var device: Device
    /// Its on-demand paging.
    public var onDemand: OnDemandPaging
    /// What moves its bytes: hardware or software.
    public var nic: NICKind
    /// The running kernel; nil where its release cannot be read.
    public var kernel: KernelRelease?
    /// Whether it imports dma-bufs; nil where that was not asked.
    public var dmaBufSupport: DMABufSupport?
    /// Its driver's name; nil where sysfs names none.
    public var driver: String?

    /// Given by hand, as a test needs it.
    public init(
        device: Device, onDemand: OnDemandPaging, nic: NICKind, kernel: KernelRelease?,
        dmaBufSupport: DMABufSupport? = nil, driver: String? = nil
    ) {
        self.device = device
        self.onDemand = onDemand
        self.nic = nic
        self.kernel = kernel
        self.dmaBufSupport = dmaBufSupport
        self.driver = driver
    }

    /// What is known of an open device on the running kernel, as far as it matters for memory of a kind.
    ///
    /// - Throws: the errno of the device query.
    public init(of context: Context, for kind: MemoryKind = .p2pmem) throws(PeerMRError) {
        try self.init(of: context, nic: NICKind(of: context.device), for: kind)
    }

    init(of context: Context, nic: NICKind, for kind: MemoryKind) throws(PeerMRError) {
        let name = context.device.name
        self.init(
            device: context.device, onDemand: try context.attributes().onDemand, nic: nic, kernel: .running(),
            dmaBufSupport: kind == .dmabuf ? context.dmaBufSupport() : nil,
            driver: SystemRoot.live.linkTarget("sys/class/infiniband/\(name)/device/driver")?.lastComponent?.string)
    }
}
