// SPDX-License-Identifier: Apache-2.0

package import PCITopology
internal import SystemPackage
public import PeerMRCore
public import Verbs

/// A provider of p2pmem, as a kernel that makes no check of its own would map it.
package struct PeerMapping: Hashable, Sendable {
    package var provider: PCIAddress
    package var mapping: UncheckedMapping
    /// What a kernel that checks would do.
    package var route: Answer?

    package init(provider: PCIAddress, mapping: UncheckedMapping, route: Answer?) {
        self.provider = provider
        self.mapping = mapping
        self.route = route
    }
}

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
    /// The name of the driver of its PCI function; nil where sysfs names none.
    public var driver: String?
    /// Whether the kernel asks p2pdma before it maps peer memory for an on-demand region, as its type information
    /// tells; nil where that does not, so that the release decides.
    public var checksMappings: Bool?
    /// The provider of p2pmem, and what is between; nil where it is not known, or does not matter.
    package var peer: PeerMapping?
    /// The running kernel, where it is one of Red Hat's.
    package var redHat: RedHatKernel?
    /// The size of the machine's pages, in bytes.
    public var pageBytes = PeerMRCore.pageBytes

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

    /// Whether the kernel checks the route of on-demand regions before it maps them: the release where nothing else
    /// tells. Distributions carry newer code under older numbers, and none older code under newer ones.
    var isMappingChecked: Bool {
        checksMappings ?? kernel.map { $0 >= MethodChoice.firstCheckingKernel } ?? false
    }

    /// What is known of an open device on the running kernel, as far as it matters for memory of a kind.
    ///
    /// - Throws: the errno of the device query.
    public init(of context: Context, for kind: MemoryKind = .p2pmem) throws(PeerMRError) {
        try self.init(of: context, nic: NICKind(of: context.device), for: kind, root: .live)
    }

    init(of context: Context, nic: NICKind, for kind: MemoryKind, root: SystemRoot) throws(PeerMRError) {
        let name = context.device.name
        self.init(
            device: context.device, onDemand: try context.attributes().onDemand, nic: nic, kernel: .running(),
            dmaBufSupport: kind == .dmabuf ? context.dmaBufSupport() : nil,
            driver: Self.driver(ofRDMADevice: name, root: root))
        redHat = .running
    }

    /// The driver that an RDMA device's abilities are those of: a subfunction of mlx5 is an auxiliary device, with a
    /// driver of its own (`mlx5_core.sf`), and works as the PCI function does that it is a part of.
    ///
    /// - Returns: that of the device itself where it is on no PCI function; nil where it has none.
    package static func driver(ofRDMADevice name: String, root: SystemRoot = .live) -> String? {
        if let function = DeviceLinks.function(ofRDMADevice: name, root: root), let driver = root.driver(of: function) {
            return driver
        }
        return root.linkTarget("sys/class/infiniband/\(name)/device/driver")?.lastComponent?.string
    }
}
