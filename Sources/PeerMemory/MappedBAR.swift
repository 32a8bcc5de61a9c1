// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import SystemPackage
internal import PeerMRCore
internal import Verbs

/// A part of a BAR that this process has mapped through vfio, for a device that it drives itself.
///
/// A mapping tells the region by its offset (drivers/vfio/pci/vfio_pci_priv.h, `VFIO_PCI_OFFSET_SHIFT`), and with the
/// group API nothing of the device: name and number are those of every other one, and `/proc/self/pagemap` shows no
/// page frames of such mappings, to root neither. So the device is the one that this process has open whose BAR reaches
/// that far. Where there may be several, the application says which it is.
final class MappedBAR: Sendable {
    /// The function whose BAR it is.
    let function: PCIAddress
    /// The BAR's number.
    let number: Int
    private let device: Device

    /// A duplicate of the device's descriptor, so that its number stays the device's.
    private final class Device: Sendable {
        let file: OwnedDescriptor
        init(_ file: consuming OwnedDescriptor) { self.file = file }
        var descriptor: Int32 { file.rawValue }
    }

    /// How many bits of an offset in the device's file are a place in a region.
    private static let shift = 40

    private init(_ device: Device, _ function: PCIAddress, _ number: Int) {
        self.device = device
        self.function = function
        self.number = number
    }

    /// The BAR that a range of addresses is of; nil where the range is no mapping of vfio's.
    ///
    /// - Parameter named: whose BAR the application says that it is; nil where that is to be found out.
    /// - Throws: `notFound` where no descriptor of the device is open any more, `notSupported` where several devices
    ///   may be mapped there, for a region that is no BAR, and where the kernel does not tell a descriptor's function.
    static func find(_ range: MappedRange, named: PCIAddress?) throws(PeerMRError) -> MappedBAR? {
        guard case .device(let path) = range.object, MappedObject.isVFIO(path) else { return nil }
        let region = range.offset >> shift
        guard region < 6 else { throw .regionWithoutExport(range.address, region) }
        let number = Int(region)
        var open: Set<PCIAddress> = []
        var found: [PCIAddress: Device] = [:]
        for name in range.root.entries("proc/self/fd") ?? [] {
            guard let descriptor = Int32(name),
                let file = try OwnedDescriptor.duplicate(
                    descriptor, where: { range.root.linkTarget("proc/self/fd/\($0)")?.string == path })
            else { continue }
            let device = Device(file)
            guard let function = function(of: device.descriptor, range.root) else {
                throw .functionUnknown(descriptor, range.address)
            }
            open.insert(function)
            if reaches(device.descriptor, number, range) { found[function] = device }
        }
        if let named {
            guard let device = found[named] else { throw .deviceClosed(range.address, number, open.sorted()) }
            return MappedBAR(device, named, number)
        }
        guard let (function, device) = found.first else {
            throw .deviceClosed(range.address, number, open.sorted())
        }
        // A device stays open by a mapping alone: whose descriptor was closed may be mapped as well.
        let several = Set(found.keys).union(path.hasPrefix("/dev/") ? [] : closed(number, range)).sorted()
        guard several.count == 1 else { throw .severalBARs(range.address, number, several) }
        return MappedBAR(device, function, number)
    }

    /// The functions of the groups that this process has open whose BAR is large enough by what sysfs shows.
    private static func closed(_ number: Int, _ range: MappedRange) -> Set<PCIAddress> {
        var found: Set<PCIAddress> = []
        for name in range.root.entries("proc/self/fd") ?? [] {
            guard let path = range.root.linkTarget("proc/self/fd/\(name)")?.string, path.hasPrefix("/dev/vfio/"),
                let group = Int(path.dropFirst("/dev/vfio/".count))
            else { continue }
            for entry in range.root.entries("sys/kernel/iommu_groups/\(group)/devices") ?? [] {
                guard let function = PCIAddress(entry), let driver = range.root.driver(of: function),
                    Exporter.exporting(memoryOf: driver)?.drivers == ["vfio_pci"],
                    let bytes = BaseAddressRegisters(of: function, root: range.root).byteCounts[number]
                else { continue }
                let place = range.offset & (1 << shift - 1)
                if place < bytes, range.byteCount <= bytes - place { found.insert(function) }
            }
        }
        return found
    }

    /// Exports the pages that a range is in.
    ///
    /// - Returns: the dma-buf, and where the range begins in it.
    /// - Throws: as ``VFIODevice/export(bar:ranges:writable:)``.
    func export(_ range: MappedRange) throws(PeerMRError) -> (buffer: DMABuf, offset: UInt64) {
        let page = UInt64(pageBytes)
        let place = range.offset & (1 << Self.shift - 1)
        let first = place / page * page
        let part = peermr_vfio_range(offset: first, length: (place + range.byteCount - first + page - 1) / page * page)
        guard peermr_vfio_probe_export(device.descriptor) == 0 else { throw .noExport(currentErrno(), function) }
        let descriptor = unsafe withUnsafePointer(to: part) { part in
            unsafe peermr_vfio_export(device.descriptor, UInt32(number), range.isWritable ? 1 : 0, part, 1)
        }
        guard descriptor >= 0 else { throw .export(currentErrno(), function, number) }
        return (try DMABuf(new: descriptor), place - first)
    }

    /// Reads by way of the device's file, which fails with an error where the BAR is gone.
    func read(into bytes: inout MutableRawSpan, at place: UInt64) throws(PeerMRError) {
        do throws(Errno) {
            try DescriptorBytes.read(device.descriptor, into: &bytes, at: place)
        } catch {
            throw .regionBytes("pread", error, function, number)
        }
    }

    /// Writes so.
    func write(_ bytes: RawSpan, at place: UInt64) throws(PeerMRError) {
        do throws(Errno) {
            try DescriptorBytes.write(device.descriptor, bytes, at: place)
        } catch {
            throw .regionBytes("pwrite", error, function, number)
        }
    }
}

extension MappedBAR {
    /// The function of a device's descriptor (drivers/vfio/vfio_main.c, `vfio_device_show_fdinfo`).
    private static func function(of descriptor: Int32, _ root: SystemRoot) -> PCIAddress? {
        function(in: root.attribute("proc/self/fdinfo/\(descriptor)") ?? "")
    }

    static func function(in text: String) -> PCIAddress? {
        let name = "vfio-device-syspath:"
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(name) }),
            let last = line.dropFirst(name.count).split(separator: "/").last
        else { return nil }
        return PCIAddress(String(last))
    }

    /// Whether a region of a device can be mapped, and is large enough for a range to be in it.
    private static func reaches(_ descriptor: Int32, _ number: Int, _ range: MappedRange) -> Bool {
        var bytes: UInt64 = 0
        var start: UInt64 = 0
        var flags: UInt32 = 0
        guard unsafe peermr_vfio_region(descriptor, UInt32(number), &bytes, &start, &flags) == 0, flags & 4 != 0,
            range.offset >= start
        else { return false }
        let place = range.offset - start
        return place < bytes && range.byteCount <= bytes - place
    }
}
