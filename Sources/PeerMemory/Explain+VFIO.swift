// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
internal import PeerMRCore

// Opening functions by way of vfio, and exporting their BARs: (call, errno) into words.
extension PeerMRError {
    static func noFunction(_ address: PCIAddress) -> PeerMRError {
        PeerMRError(
            .notFound, reason: "there is no PCI function \(address)", remedy: "see lspci -D for those that there are")
    }

    static func noIOMMU(_ address: PCIAddress) -> PeerMRError {
        PeerMRError(
            .notFound, reason: "\(address) is in no IOMMU group: this machine has no IOMMU, or it is off",
            remedy:
                "switch VT-d or AMD-Vi on in the firmware, and boot with intel_iommu=on on Intel (iommu=pt keeps the "
                + "host's own I/O direct)")
    }

    static func withoutIOMMU(_ address: PCIAddress, _ group: Int) -> PeerMRError {
        PeerMRError(
            .unsafeConfiguration,
            reason: "\(address) is in group noiommu-\(group): nothing would keep the device from all of memory",
            remedy: "use a machine with an IOMMU, and unset vfio.enable_unsafe_noiommu_mode")
    }

    static func notBound(_ state: VFIOBinding.State) -> PeerMRError {
        let has = state.driver.map { "the driver \($0) has \(state.address)" } ?? "no driver has \(state.address)"
        let folder = "/sys/bus/pci/devices/\(state.address)"
        let unbind = state.driver == nil ? "" : "echo \(state.address) > \(folder)/driver/unbind; "
        return PeerMRError(
            .busy, reason: "\(has), not vfio-pci",
            remedy: "peermr vfio bind \(state.address) does this as root: modprobe vfio-pci; "
                + "echo vfio-pci > \(folder)/driver_override; \(unbind)"
                + "echo \(state.address) > /sys/bus/pci/drivers_probe"
        )
    }

    /// See: drivers/vfio/group.c, vfio_group_fops_open
    static func openGroup(
        _ errno: Errno, _ state: VFIOBinding.State, _ group: Int, onlyNewAPI: Bool
    ) -> PeerMRError {
        let address = state.address
        switch errno {
        case .resourceBusy: return groupOpen(address, group)
        case .permissionDenied, .notPermitted:
            return PeerMRError(
                .notPermitted, call: "open", errno: errno,
                reason: "this user may not open /dev/vfio/\(group), the IOMMU group of \(address)",
                remedy: "run as root, or give the user rights on it: chown USER /dev/vfio/\(group)")
        case .noSuchFileOrDirectory where onlyNewAPI:
            return PeerMRError(
                .notSupported, call: "open", errno: errno,
                reason: "this kernel has no /dev/vfio/\(group): it has only vfio's newer API, with iommufd",
                remedy: "use a kernel with CONFIG_VFIO_GROUP and CONFIG_VFIO_CONTAINER")
        default:
            return PeerMRError(
                errno == .noSuchFileOrDirectory ? .notFound : .system, call: "open", errno: errno,
                reason: "/dev/vfio/\(group), the IOMMU group of \(address), cannot be opened",
                remedy: "see ls -l /dev/vfio and the kernel log (dmesg); in a container hand the node in")
        }
    }

    static func groupOpen(_ address: PCIAddress, _ group: Int) -> PeerMRError {
        PeerMRError(
            .busy, call: "open", errno: .resourceBusy,
            reason: "/dev/vfio/\(group), the IOMMU group of \(address), is open already, here or in another process",
            remedy: "see fuser -v /dev/vfio/\(group), and end that, or share the open VFIODevice within a process")
    }

    static func groupNotViable(_ state: VFIOBinding.State, _ group: Int) -> PeerMRError {
        let others = state.obstacles.map { "\($0.address) (\($0.driver ?? "no driver"))" }
        let list = others.isEmpty ? "functions that other drivers use" : others.joined(separator: ", ")
        return PeerMRError(
            .busy, reason: "the IOMMU group \(group) of \(state.address) cannot be handed out: it also has \(list)",
            remedy: "give these to vfio-pci as well, unbind them, or move the device to a slot with access control "
                + "services, which put it into a group of its own")
    }

    static func openContainer(_ errno: Errno) -> PeerMRError {
        let isDenied = errno == .permissionDenied || errno == .notPermitted
        return PeerMRError(
            isDenied ? .notPermitted : .notFound, call: "open", errno: errno, reason: "/dev/vfio/vfio cannot be opened",
            remedy: isDenied ? "run as root, or give the user rights on it" : "modprobe vfio")
    }

    static func noType1(_ address: PCIAddress) -> PeerMRError {
        PeerMRError(
            .notSupported, reason: "this kernel's vfio has no type 1 IOMMU to open \(address) with",
            remedy: "modprobe vfio_iommu_type1; POWER machines have another kind, which is not supported here")
    }

    static func setIOMMU(_ errno: Errno, _ address: PCIAddress) -> PeerMRError {
        PeerMRError(
            errno == .notPermitted ? .notPermitted : .system, call: "VFIO_SET_IOMMU", errno: errno,
            reason: "the IOMMU does not take \(address) over",
            remedy: errno == .notPermitted
                ? "the platform cannot remap interrupts: boot with intremap=on, or at your own risk load "
                    + "vfio_iommu_type1 with allow_unsafe_interrupts=1"
                : "see the kernel log (dmesg)")
    }

    static func openDevice(_ errno: Errno, _ address: PCIAddress, _ group: Int) -> PeerMRError {
        PeerMRError(
            errno == .resourceBusy ? .busy : .system, call: "VFIO_GROUP_GET_DEVICE_FD", errno: errno,
            reason: "\(address) of the IOMMU group \(group) cannot be opened",
            remedy: "see the kernel log (dmesg): the function may not have come up, or be powered down")
    }

    static func vfio(_ call: String, _ errno: Errno, _ address: PCIAddress) -> PeerMRError {
        let isGone = errno == .operationNotSupportedByDevice
        return PeerMRError(
            isGone ? .memoryRevoked : .system, call: call, errno: errno, reason: "vfio refuses \(address)",
            remedy: isGone ? "the function was removed" : "see the kernel log (dmesg)")
    }

    static func reset(_ errno: Errno, _ address: PCIAddress) -> PeerMRError {
        switch errno {
        case .inappropriateIOCTLForDevice, .invalidArgument:
            PeerMRError(
                .notSupported, call: "VFIO_DEVICE_RESET", errno: errno, reason: "\(address) cannot be reset by itself",
                remedy: "see /sys/bus/pci/devices/\(address)/reset_method; unbind and bind it instead")
        default: vfio("VFIO_DEVICE_RESET", errno, address)
        }
    }

    // BARs

    static func noSuchBAR(_ address: PCIAddress, _ bar: Int, present: [Int]) -> PeerMRError {
        let list = present.map { "\($0)" }.joined(separator: ", ")
        return PeerMRError(
            (0...5).contains(bar) ? .notFound : .invalidArgument, reason: "\(address) has no BAR \(bar)",
            remedy: present.isEmpty
                ? "it has no BAR of memory at all (lspci -vs \(address))" : "its BARs of memory are \(list)")
    }

    static func portBAR(_ address: PCIAddress, _ bar: Int) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "BAR \(bar) of \(address) is I/O ports, which no device can reach by DMA",
            remedy: "name a BAR of memory (lspci -vs \(address))")
    }

    static func smallBAR(_ address: PCIAddress, _ bar: Int, _ byteCount: UInt64) -> PeerMRError {
        PeerMRError(
            .notSupported,
            reason: "BAR \(bar) of \(address) has \(byteCount) bytes, less than a page: the kernel exports whole pages",
            remedy: "name a larger BAR (lspci -vs \(address))")
    }

    static func partOfBAR(
        _ address: PCIAddress, _ bar: Int, _ whole: UInt64, _ offset: UInt64, _ byteCount: UInt64
    ) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason: byteCount == 0
                ? "a part of 0 bytes was asked for, of BAR \(bar) of \(address)"
                : "\(byteCount) bytes from \(offset) on do not lie inside BAR \(bar) of \(address), "
                    + "which has \(whole) bytes",
            remedy: "name a part that does, of one byte or more")
    }

    static func unalignedRange(
        _ address: PCIAddress, _ bar: Int, _ offset: UInt64, _ byteCount: UInt64
    ) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason: "\(byteCount) bytes from \(offset) on are not whole pages of BAR \(bar) of \(address)",
            remedy: "take multiples of \(pageBytes) bytes, and register a part of what is exported")
    }

    /// See: drivers/vfio/pci/vfio_pci_core.c, vfio_pci_core_ioctl_feature
    static func noExport(_ errno: Errno, _ address: PCIAddress) -> PeerMRError {
        PeerMRError(
            errno == .operationNotSupportedByDevice ? .memoryRevoked : .notSupported, call: "VFIO_DEVICE_FEATURE",
            errno: errno, reason: "this kernel does not export BARs of \(address) as dma-bufs",
            remedy: "use Linux 6.19 or newer with CONFIG_VFIO_PCI_DMABUF, which needs CONFIG_PCI_P2PDMA")
    }

    /// See: drivers/vfio/pci/vfio_pci_dmabuf.c, vfio_pci_core_feature_dma_buf
    static func export(_ errno: Errno, _ address: PCIAddress, _ bar: Int) -> PeerMRError {
        let (code, remedy): (PeerMRError.Code, String) =
            switch errno {
            case .operationNotSupportedByDevice:
                (.memoryRevoked, "the function is gone, or the BAR is not there any more")
            case .noMemory: (.resourceLimit, "free memory, or export fewer parts")
            case .tooManyOpenFiles, .tooManyOpenFilesInSystem:
                (.resourceLimit, "close descriptors, or raise the limit (ulimit -n)")
            default: (.system, "see the kernel log (dmesg)")
            }
        return PeerMRError(
            code, call: "VFIO_DEVICE_FEATURE_DMA_BUF", errno: errno,
            reason: "BAR \(bar) of \(address) cannot be exported", remedy: remedy)
    }

    /// See: drivers/vfio/pci/vfio_pci_rdwr.c, vfio_pci_bar_rw
    static func regionBytes(_ call: String, _ errno: Errno, _ address: PCIAddress, _ bar: Int) -> PeerMRError {
        let isGone = errno == .ioError || errno == .operationNotSupportedByDevice
        return PeerMRError(
            isGone ? .memoryRevoked : .system, call: call, errno: errno,
            reason: isGone
                ? "the memory of BAR \(bar) of \(address) is not there any more"
                : "BAR \(bar) of \(address) cannot be reached",
            remedy: isGone
                ? "the function was removed, powered down or had its memory switched off: open it and export it anew"
                : "see the kernel log (dmesg)")
    }

    // Binding

    static func inUse(_ address: PCIAddress, _ use: VFIOBinding.Use) -> PeerMRError {
        PeerMRError(
            .busy, reason: "\(address) is in use: \(use.device) \(use.how)", remedy: "end that first: \(use.remedy)")
    }

    static var noVFIODriver: PeerMRError {
        PeerMRError(
            .notFound, reason: "the driver vfio-pci is not there",
            remedy: "modprobe vfio-pci, of a kernel with CONFIG_VFIO_PCI")
    }

    static func noDriver(_ driver: String) -> PeerMRError {
        PeerMRError(
            .notFound, reason: "there is no PCI driver \(driver)", remedy: "load it, or see ls /sys/bus/pci/drivers")
    }

    static func notTaken(_ address: PCIAddress, by driver: String = "vfio-pci") -> PeerMRError {
        PeerMRError(
            .system, reason: "\(driver) does not take \(address)", remedy: "see the kernel log (dmesg) for its reason")
    }

    static func notBoundToVFIO(_ state: VFIOBinding.State) -> PeerMRError {
        let has = state.driver.map { "the driver \($0) has" } ?? "no driver has"
        return PeerMRError(
            .invalidArgument, reason: "\(has) \(state.address), not vfio-pci", remedy: "there is nothing to give back")
    }

    static func writeBinding(_ errno: Errno, _ path: FilePath, _ text: String, _ address: PCIAddress) -> PeerMRError {
        let said = text.split(separator: "\n").first.map { String($0) } ?? "an empty line"
        let (code, remedy): (PeerMRError.Code, String) =
            switch errno {
            case .permissionDenied, .notPermitted: (.notPermitted, "run as root")
            case .readOnlyFileSystem: (.notPermitted, "mount sysfs writable: containers often have it read-only")
            case .noSuchFileOrDirectory, .operationNotSupportedByDevice:
                (.notFound, "see that \(address) is still there (lspci -Ds \(address))")
            default: (.system, "see the kernel log (dmesg) for the driver's reason")
            }
        return PeerMRError(
            code, call: "write", errno: errno, reason: "\(path) does not take \(said)", remedy: remedy)
    }
}
