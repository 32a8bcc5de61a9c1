// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import SystemPackage
public import PeerMRCore

/// A PCI function that is bound to vfio-pci, opened by this process alone.
///
/// While it is open no other process can open it, nor another function of its IOMMU group. When it is closed the kernel
/// takes back every dma-buf of it, for good: memory that ``export(bar:ranges:writable:)`` made keeps it open.
///
/// Binding is a step of its own, which nothing here does by itself: see ``VFIOBinding``. The API is that of groups and
/// containers (`/dev/vfio/GROUP`) with the type 1 IOMMU; a function without an IOMMU is refused.
public final class VFIODevice: Sendable {
    /// The function.
    public let address: PCIAddress
    /// The number of its IOMMU group.
    public let group: Int
    // The kernel keeps container and group for as long as the device is open; they are held for clarity, not for need.
    private let container: OwnedDescriptor
    private let groupFile: OwnedDescriptor
    private let file: OwnedDescriptor
    private let root: SystemRoot

    /// Opens a function.
    ///
    /// - Parameters:
    ///   - address: the function, already bound to vfio-pci or to a driver made from it.
    ///   - root: where `/dev` and `/sys` are; tests put another there.
    /// - Throws: `notFound` where there is no such function or it has no IOMMU group; `unsafeConfiguration` for a group
    ///   without an IOMMU; `busy` where another driver has it, where its group has functions that other drivers use, or
    ///   where the group is open elsewhere (EBUSY); `notPermitted` (EACCES, EPERM) without rights on the group;
    ///   `notSupported` where the kernel has only the newer API. See Documentation/driver-api/vfio.rst.
    public init(_ address: PCIAddress, root: SystemRoot = .live) throws(PeerMRError) {
        let state = try VFIOBinding(address, root: root).state()
        guard let group = state.group else { throw .noIOMMU(address) }
        guard state.isVFIO else { throw .notBound(state) }
        guard !root.exists("dev/vfio/noiommu-\(group)") else { throw .withoutIOMMU(address, group) }
        let groupFile: OwnedDescriptor
        do {
            groupFile = try OwnedDescriptor(opening: root.appending("dev/vfio/\(group)"), flags: O_RDWR)
        } catch {
            throw .openGroup(error, state, group, onlyNewAPI: root.exists("dev/vfio/devices"))
        }
        var flags: UInt32 = 0
        guard unsafe peermr_vfio_group_flags(groupFile.rawValue, &flags) == 0 else {
            throw .vfio("VFIO_GROUP_GET_STATUS", currentErrno(), address)
        }
        guard flags & 1 != 0 else { throw .groupNotViable(state, group) }
        let container: OwnedDescriptor
        do {
            container = try OwnedDescriptor(opening: root.appending("dev/vfio/vfio"), flags: O_RDWR)
        } catch {
            throw .openContainer(error)
        }
        guard peermr_vfio_container_fits(container.rawValue) == 1 else { throw .noType1(address) }
        guard peermr_vfio_join(groupFile.rawValue, container.rawValue) == 0 else {
            throw .vfio("VFIO_GROUP_SET_CONTAINER", currentErrno(), address)
        }
        guard peermr_vfio_set_iommu(container.rawValue) == 0 else {
            throw .setIOMMU(currentErrno(), address)
        }
        let device = unsafe peermr_vfio_open_device(groupFile.rawValue, "\(address)")
        guard device >= 0 else { throw .openDevice(currentErrno(), address, group) }
        self.address = address
        self.group = group
        self.root = root
        self.groupFile = groupFile
        self.container = container
        file = OwnedDescriptor(adopting: device)
    }

    /// A BAR: what of the function's memory there is to export.
    public struct Region: Hashable, Sendable {
        /// The number of the BAR, 0 to 5.
        public let bar: Int
        /// Its size, in bytes.
        public let byteCount: UInt64
        /// Where it stands in the device's file.
        let fileOffset: UInt64
    }

    /// Looks a BAR up.
    ///
    /// - Parameter bar: 0 to 5; a 64-bit BAR has the lower of its two numbers.
    /// - Throws: `invalidArgument` for another number and for a BAR of I/O ports, `notFound` where the function has
    ///   none of that number.
    public func region(bar: Int) throws(PeerMRError) -> Region {
        guard (0...5).contains(bar) else { throw .noSuchBAR(address, bar, present: memoryBARs()) }
        var bytes: UInt64 = 0
        var offset: UInt64 = 0
        var flags: UInt32 = 0
        guard unsafe peermr_vfio_region(file.rawValue, UInt32(bar), &bytes, &offset, &flags) == 0 else {
            throw .vfio("VFIO_DEVICE_GET_REGION_INFO", currentErrno(), address)
        }
        guard bytes > 0 else { throw .noSuchBAR(address, bar, present: memoryBARs()) }
        guard !BaseAddressRegisters(of: address, root: root).isPorts(bar) else { throw .portBAR(address, bar) }
        return Region(bar: bar, byteCount: bytes, fileOffset: offset)
    }

    private func memoryBARs() -> [Int] { BaseAddressRegisters(of: address, root: root).memory }

    /// Whether the kernel exports BARs of this function as dma-bufs: Linux 6.19 and newer, built with
    /// `CONFIG_VFIO_PCI_DMABUF`. Asked without exporting any.
    public var exportsBuffers: Bool { peermr_vfio_probe_export(file.rawValue) == 0 }

    /// Resets the function.
    ///
    /// The kernel takes the dma-bufs of the function back while it resets: regions over them end, or are suspended,
    /// depending on the importer. Exporters' memory loses what it held, where the device does not keep it.
    ///
    /// - Throws: `notSupported` where the function has no reset (ENOTTY), `memoryRevoked` where it is gone. The
    ///   corresponding request is `VFIO_DEVICE_RESET`.
    public func reset() throws(PeerMRError) {
        guard peermr_vfio_reset(file.rawValue) == 0 else { throw .reset(currentErrno(), address) }
    }

    /// The file of the device, for what follows in this module.
    var descriptor: Int32 { file.rawValue }
}

/// What kinds of BARs a function has, by the flags that sysfs shows (`resource`; include/linux/ioport.h).
struct BaseAddressRegisters {
    /// The numbers of those that are memory.
    let memory: [Int]
    /// The sizes of those, in bytes.
    let byteCounts: [Int: UInt64]
    private let ports: [Int]

    init(of address: PCIAddress, root: SystemRoot) {
        var memory: [Int] = []
        var ports: [Int] = []
        var byteCounts: [Int: UInt64] = [:]
        let text = root.attribute("sys/bus/pci/devices/\(address)/resource") ?? ""
        for (index, line) in text.split(separator: "\n").prefix(6).enumerated() {
            let words = line.split(separator: " ")
            guard words.count == 3, let flags = UInt64(words[2].dropFirst(2), radix: 16) else { continue }
            if flags & 0x100 != 0 { ports.append(index) }
            guard flags & 0x200 != 0 else { continue }
            memory.append(index)
            if let start = UInt64(words[0].dropFirst(2), radix: 16), let end = UInt64(words[1].dropFirst(2), radix: 16),
                end > start
            {
                byteCounts[index] = end - start + 1
            }
        }
        self.memory = memory
        self.byteCounts = byteCounts
        self.ports = ports
    }

    func isPorts(_ bar: Int) -> Bool { ports.contains(bar) }
}
