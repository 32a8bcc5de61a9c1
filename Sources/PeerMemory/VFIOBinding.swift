// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemPackage
public import PeerMRCore

/// Which driver a PCI function has, and changing it to vfio-pci and back.
///
/// Changing it takes the function away from its driver: a drive's disk, a NIC's interface is gone until it is given
/// back. So nothing else in this package does it, and ``bind()`` refuses where something of the function is in use.
/// By hand it is, as root:
///
///     echo vfio-pci     > /sys/bus/pci/devices/BDF/driver_override
///     echo BDF          > /sys/bus/pci/devices/BDF/driver/unbind
///     echo BDF          > /sys/bus/pci/drivers_probe
///
/// and back the same way with an empty line for `driver_override`.
public struct VFIOBinding: Hashable, Sendable {
    /// The function.
    public let address: PCIAddress
    let root: SystemRoot

    /// A function's binding; nothing is changed.
    ///
    /// - Throws: `notFound` where there is no such function.
    public init(_ address: PCIAddress, root: SystemRoot = .live) throws(PeerMRError) {
        self.address = address
        self.root = root
        guard root.exists(folder) else { throw .noFunction(address) }
    }

    private var folder: String { "sys/bus/pci/devices/\(address)" }

    /// The driver of a function, and what else is in its IOMMU group.
    public struct State: Hashable, Sendable {
        /// The function.
        public let address: PCIAddress
        /// The driver that has it; nil for none.
        public let driver: String?
        /// The driver that may have it in place of those that know it (`driver_override`); nil where none is set.
        public let driverOverride: String?
        /// Its IOMMU group; nil without an IOMMU.
        public let group: Int?
        /// The other functions of the group, with their drivers: vfio opens the group as one.
        public let neighbors: [Neighbor]

        /// Whether it can be opened by way of vfio.
        public var isVFIO: Bool { Self.isVFIO(driver) }

        /// Those neighbors whose drivers keep the group from being opened.
        public var obstacles: [Neighbor] {
            neighbors.filter { !Self.isHarmless($0.driver) }
        }

        package static func isVFIO(_ driver: String?) -> Bool {
            driver?.hasSuffix("vfio-pci") == true || driver?.hasSuffix("vfio_pci") == true
        }

        /// Drivers that do no DMA on their own (drivers/vfio/group.c, drivers/iommu: those with `driver_managed_dma`).
        private static func isHarmless(_ driver: String?) -> Bool {
            driver == nil || driver == "pci-stub" || driver == "pcieport" || isVFIO(driver)
        }
    }

    /// Another function of the group.
    public struct Neighbor: Hashable, Sendable {
        /// The function.
        public let address: PCIAddress
        /// The driver that has it; nil for none.
        public let driver: String?
    }

    /// Something of a function that is in use.
    public struct Use: Hashable, Sendable {
        /// The kernel's name of the device: `nvme0n1p1`, `eth0`.
        public let device: String
        /// How it is used, as half a sentence: `is mounted on /srv`.
        public let how: String
        /// What ends that, as an instruction.
        public let remedy: String
    }

    /// Reads which driver the function is bound to.
    ///
    /// - Throws: `notFound` where it is gone.
    public func state() throws(PeerMRError) -> State {
        guard root.exists(folder) else { throw .noFunction(address) }
        let group = root.linkTarget("\(folder)/iommu_group")?.lastComponent.flatMap { Int($0.string) }
        var neighbors: [Neighbor] = []
        if let group {
            for name in root.entries("sys/kernel/iommu_groups/\(group)/devices") ?? [] {
                guard let other = PCIAddress(name), other != address else { continue }
                neighbors.append(Neighbor(address: other, driver: root.driver(of: other)))
            }
        }
        let text = root.attribute("\(folder)/driver_override")
        return State(
            address: address, driver: root.driver(of: address),
            driverOverride: text == "(null)" || text?.isEmpty == true ? nil : text, group: group,
            neighbors: neighbors.sorted { $0.address < $1.address })
    }

    /// Looks for what of the function is in use: mounted, swapped to or part of a volume, or a network interface that
    /// is up.
    ///
    /// Each disk of it is opened exclusively for an instant, which is how the kernel tells.
    public func uses() -> [Use] { FunctionUse.find(of: address, root) }

    /// Takes the function from its driver and gives it to vfio-pci.
    ///
    /// - Returns: the driver that had it; nil where none did. Nothing is done where vfio-pci has it already.
    /// - Throws: `busy` where a disk of the function is mounted, swapped to, part of a volume or opened exclusively, or
    ///   a network interface of it is up; `notFound` without the vfio-pci driver or an IOMMU; `notPermitted` (EACCES)
    ///   without root; `system` where vfio-pci refuses it: the former driver then has it again.
    @discardableResult
    public func bind() throws(PeerMRError) -> String? {
        let before = try state()
        if before.isVFIO { return before.driver }
        guard before.group != nil else { throw .noIOMMU(address) }
        if let use = uses().first { throw .inUse(address, use) }
        guard root.exists("sys/bus/pci/drivers/vfio-pci") else { throw .noVFIODriver() }
        try write("vfio-pci", to: "\(folder)/driver_override")
        do throws(PeerMRError) {
            if before.driver != nil { try write("\(address)", to: "\(folder)/driver/unbind") }
            try write("\(address)", to: "sys/bus/pci/drivers_probe")
            guard root.driver(of: address) == "vfio-pci" else { throw .notTaken(address, "vfio-pci") }
        } catch {
            // What was is better than a function without a driver; its own refusal would hide the first.
            try? write("\n", to: "\(folder)/driver_override")
            if before.driver != nil, root.driver(of: address) == nil {
                try? write("\(address)", to: "sys/bus/pci/drivers_probe")
            }
            throw error
        }
        return before.driver
    }

    /// Takes the function from vfio-pci and gives it back.
    ///
    /// - Parameter driver: which driver is to have it; nil for the one that the kernel picks, as at boot.
    /// - Returns: the driver that has it now; nil where none took it.
    /// - Throws: `invalidArgument` where vfio-pci does not have it; `busy` where a process has its group open: the
    ///   kernel would make us wait for that; `notPermitted` (EACCES) without root; `notFound` where the driver is not
    ///   there.
    @discardableResult
    public func unbind(to driver: String? = nil) throws(PeerMRError) -> String? {
        let before = try state()
        guard before.isVFIO, let group = before.group else { throw .notBoundToVFIO(before) }
        if let driver, driver.utf8.contains(0x2f) || !root.exists("sys/bus/pci/drivers/\(driver)") {
            throw .noDriver(driver)
        }
        do throws(Errno) {
            _ = try OwnedDescriptor(opening: root.appending("dev/vfio/\(group)"), flags: O_RDWR)
        } catch {
            guard error != .resourceBusy else { throw .groupOpen(.resourceBusy, address, group) }
        }
        try write("\(driver ?? "")\n", to: "\(folder)/driver_override")
        try write("\(address)", to: "\(folder)/driver/unbind")
        try write("\(address)", to: "sys/bus/pci/drivers_probe")
        let now = root.driver(of: address)
        if let driver {
            try write("\n", to: "\(folder)/driver_override")
            guard now == driver else { throw .notTaken(address, driver) }
        }
        return now
    }

    private func write(_ text: String, to relative: String) throws(PeerMRError) {
        let path = root.appending(relative)
        do throws(Errno) {
            let file = try OwnedDescriptor(opening: path, flags: O_WRONLY)
            let bytes = Array(text.utf8)
            let written = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(file.rawValue, $0.baseAddress, $0.count) }
            if written != bytes.count { throw currentErrno() }
        } catch {
            throw .writeBinding(error, path, text, address)
        }
    }
}
