// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let vfioErrors = ErrorSection(
        "vfio-pci",
        [
            noFunction, noIOMMU, withoutIOMMU, driverless, otherDriver, openGroup, onlyIOMMUFD, groupOpen, groupShared,
            openContainer, noType1, setIOMMU, openDevice, vfio, noReset, inUseBy, noVFIODriver, noDriver, notTaken,
            notBoundToVFIO, writeBinding,
        ])
}

// Before a function can be opened.
extension PeerMRError {
    static let noFunction = ErrorTable(facts: "address") { address in
        ErrorRow(.notFound, "there is no PCI function \(address)", "see lspci -D for those that there are")
    }
    static let noIOMMU = ErrorTable(facts: "address") { address in
        ErrorRow(
            .notFound, "\(address) is in no IOMMU group: this machine has no IOMMU, or it is off",
            "switch VT-d or AMD-Vi on in the firmware, and boot with intel_iommu=on on Intel (iommu=pt keeps the "
                + "host's own I/O direct)")
    }
    static let withoutIOMMU = ErrorTable(facts: "address", "group") { address, group in
        ErrorRow(
            .unsafeConfiguration,
            "\(address) is in group noiommu-\(group): nothing would keep the device from all of memory",
            "use a machine with an IOMMU, and unset vfio.enable_unsafe_noiommu_mode")
    }
    static let driverless = ErrorTable(facts: "address") { address in
        ErrorRow(
            .busy, "no driver has \(address), not vfio-pci",
            "peermr vfio bind \(address) does this as root: modprobe vfio-pci; echo vfio-pci > "
                + "/sys/bus/pci/devices/\(address)/driver_override; echo \(address) > /sys/bus/pci/drivers_probe")
    }
    static let otherDriver = ErrorTable(facts: "address", "driver") { address, driver in
        ErrorRow(
            .busy, "the driver \(driver) has \(address), not vfio-pci",
            "peermr vfio bind \(address) does this as root: modprobe vfio-pci; echo vfio-pci > "
                + "/sys/bus/pci/devices/\(address)/driver_override; echo \(address) > "
                + "/sys/bus/pci/devices/\(address)/driver/unbind; echo \(address) > /sys/bus/pci/drivers_probe")
    }

    static func notBound(_ state: VFIOBinding.State) -> PeerMRError {
        state.driver.map { otherDriver(state.address, $0) } ?? driverless(state.address)
    }
}

// Opening it.
extension PeerMRError {
    /// See: drivers/vfio/group.c, vfio_group_fops_open
    static let openGroup = ErrorTable("open", facts: "address", "group") { address, group in
        ErrorRow(
            [.permissionDenied, .notPermitted], .notPermitted,
            "this user may not open /dev/vfio/\(group), the IOMMU group of \(address)",
            "run as root, or give the user rights on it: chown USER /dev/vfio/\(group)")
        ErrorRow(
            [.noSuchFileOrDirectory], .notFound, "/dev/vfio/\(group), the IOMMU group of \(address), cannot be opened",
            "see ls -l /dev/vfio and the kernel log (dmesg); in a container pass the node in")
        ErrorRow(.system, "/dev/vfio/\(group), the IOMMU group of \(address), cannot be opened")
            .with(remedy: "see ls -l /dev/vfio and the kernel log (dmesg); in a container pass the node in")
    }

    static let onlyIOMMUFD = ErrorTable("open", facts: "group") { group in
        ErrorRow(
            [.noSuchFileOrDirectory], .notSupported,
            "this kernel has no /dev/vfio/\(group): it has only vfio's newer API, with iommufd",
            "use a kernel with CONFIG_VFIO_GROUP and CONFIG_VFIO_CONTAINER")
    }
    static let groupOpen = ErrorTable("open", facts: "address", "group") { address, group in
        ErrorRow(
            [.resourceBusy], .busy,
            "/dev/vfio/\(group), the IOMMU group of \(address), is open already, here or in another process",
            "see fuser -v /dev/vfio/\(group), and end that, or share the open VFIODevice within a process")
    }

    static func openGroup(
        _ errno: Errno, _ state: VFIOBinding.State, _ group: Int, onlyNewAPI: Bool
    ) -> PeerMRError {
        switch errno {
        case .resourceBusy: groupOpen(errno, state.address, group)
        case .noSuchFileOrDirectory where onlyNewAPI: onlyIOMMUFD(errno, group)
        default: openGroup(errno, state.address, group)
        }
    }

    static let groupShared = ErrorTable(facts: "group", "address", "others") { group, address, others in
        ErrorRow(
            .busy, "the IOMMU group \(group) of \(address) cannot be used: it also has \(others)",
            "bind these to vfio-pci as well, unbind them, or move the device to a slot with access control services, "
                + "which put it into a group of its own")
    }

    static func groupNotViable(_ state: VFIOBinding.State, _ group: Int) -> PeerMRError {
        let others = state.obstacles.map { "\($0.address) (\($0.driver ?? "no driver"))" }
        return groupShared(
            group, state.address,
            others.isEmpty ? "functions that other drivers use" : others.joined(separator: ", "))
    }

    static let openContainer = ErrorTable("open") {
        ErrorRow([.permissionDenied, .notPermitted], .notPermitted, "/dev/vfio/vfio cannot be opened")
            .with(remedy: "run as root, or give the user rights on it")
        ErrorRow(.notFound, "/dev/vfio/vfio cannot be opened", "modprobe vfio")
    }

    static let noType1 = ErrorTable(facts: "address") { address in
        ErrorRow(.notSupported, "this kernel's vfio has no type 1 IOMMU to open \(address) with")
            .with(remedy: "modprobe vfio_iommu_type1; POWER machines have another kind, which is not supported here")
    }

    static let setIOMMU = ErrorTable("VFIO_SET_IOMMU", facts: "address") { address in
        ErrorRow(
            [.notPermitted], .notPermitted, "the IOMMU cannot be set up for \(address)",
            "the platform cannot remap interrupts: boot with intremap=on, or at your own risk load vfio_iommu_type1 "
                + "with allow_unsafe_interrupts=1")
        ErrorRow(.system, "the IOMMU cannot be set up for \(address)", "see the kernel log (dmesg)")
    }

    static let openDevice = ErrorTable(
        "VFIO_GROUP_GET_DEVICE_FD", facts: "address", "group"
    ) { address, group in
        ErrorRow([.resourceBusy], .busy, "\(address) of the IOMMU group \(group) cannot be opened")
            .with(remedy: "see the kernel log (dmesg): the function may not have come up, or be powered down")
        ErrorRow(.system, "\(address) of the IOMMU group \(group) cannot be opened")
            .with(remedy: "see the kernel log (dmesg): the function may not have come up, or be powered down")
    }

    static let vfio = ErrorTable(
        "VFIO_GROUP_GET_STATUS", "VFIO_GROUP_SET_CONTAINER", "VFIO_DEVICE_GET_REGION_INFO", "VFIO_DEVICE_RESET",
        facts: "address"
    ) { address in
        ErrorRow(
            [.operationNotSupportedByDevice], .memoryRevoked, "vfio refuses \(address)", "the function was removed")
        ErrorRow(.system, "vfio refuses \(address)", "see the kernel log (dmesg)")
    }

    static let noReset = ErrorTable("VFIO_DEVICE_RESET", facts: "address") { address in
        ErrorRow(
            [.inappropriateIOCTLForDevice, .invalidArgument], .notSupported, "\(address) cannot be reset by itself",
            "see /sys/bus/pci/devices/\(address)/reset_method; unbind and bind it instead")
    }

    static func reset(_ errno: Errno, _ address: PCIAddress) -> PeerMRError {
        errno == .inappropriateIOCTLForDevice || errno == .invalidArgument
            ? noReset(errno, address) : vfio("VFIO_DEVICE_RESET", errno, address)
    }
}

// Binding and unbinding it.
extension PeerMRError {
    static let inUseBy = ErrorTable(facts: "address", "user", "how", "command") { address, user, how, command in
        ErrorRow(.busy, "\(address) is in use: \(user) \(how)", "end that first: \(command)")
    }

    static func inUse(_ address: PCIAddress, _ use: VFIOBinding.Use) -> PeerMRError {
        inUseBy(address, use.device, use.how, use.remedy)
    }

    static let noVFIODriver = ErrorTable {
        ErrorRow(.notFound, "the driver vfio-pci is not loaded", "modprobe vfio-pci, of a kernel with CONFIG_VFIO_PCI")
    }
    static let noDriver = ErrorTable(facts: "driver") { driver in
        ErrorRow(.notFound, "there is no PCI driver \(driver)", "load it, or see ls /sys/bus/pci/drivers")
    }
    static let notTaken = ErrorTable(facts: "address", "driver") { address, driver in
        ErrorRow(.system, "\(driver) does not bind to \(address)", "see the kernel log (dmesg) for its reason")
    }
    static let notBoundToVFIO = ErrorTable(facts: "address", "driver") { address, driver in
        ErrorRow(.invalidArgument, "\(driver) has \(address), not vfio-pci", "there is nothing to give back")
    }

    static func notBoundToVFIO(_ state: VFIOBinding.State) -> PeerMRError {
        notBoundToVFIO(state.address, state.driver.map { "the driver \($0)" } ?? "no driver")
    }

    static let writeBinding = ErrorTable("write", facts: "path", "text", "address") { path, text, address in
        ErrorRow([.permissionDenied, .notPermitted], .notPermitted, "\(path) does not accept \(text)", "run as root")
        ErrorRow([.readOnlyFileSystem], .notPermitted, "\(path) does not accept \(text)")
            .with(remedy: "mount sysfs writable: containers often have it read-only")
        ErrorRow(
            [.noSuchFileOrDirectory, .operationNotSupportedByDevice], .notFound, "\(path) does not accept \(text)",
            "see that \(address) is still there (lspci -Ds \(address))")
        ErrorRow(.system, "\(path) does not accept \(text)", "see the kernel log (dmesg) for the driver's reason")
    }

    static func writeBinding(_ errno: Errno, _ path: FilePath, _ text: String, _ address: PCIAddress) -> PeerMRError {
        writeBinding(errno, path, text.split(separator: "\n").first.map { "\($0)" } ?? "an empty line", address)
    }
}
