// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
public import PeerMRCore

/// A machine made up for a test: sysfs and procfs in memory, as the kernel would show them.
public struct TestMachine {
    /// What stands in it.
    public internal(set) var tree = CapturedTree()
    private var order = ""

    /// A machine with a processor and a kernel, and no devices; nil for what is not shown.
    public init(
        vendor: String = "GenuineIntel", family: Int = 6, kernel: String? = "7.3.4", hasConfiguration: Bool = true,
        cpu: String? = nil, commandLine: String? = "ro quiet\n", seqnum: String? = "100"
    ) {
        bytes(
            "proc/cpuinfo",
            Array((cpu ?? "processor\t: 0\nvendor_id\t: \(vendor)\ncpu family\t: \(family)\n\n").utf8))
        if let commandLine { bytes("proc/cmdline", Array(commandLine.utf8)) }
        if let kernel {
            file("proc/sys/kernel/osrelease", kernel)
            if hasConfiguration { file("lib/modules/\(kernel)/config", "CONFIG_PCI_P2PDMA=y\n") }
        }
        if let seqnum { file("sys/kernel/uevent_seqnum", seqnum) }
        for folder in ["sys/bus/pci/devices", "sys/class/infiniband", "sys/class/block"] {
            _ = tree.insert(.directory, at: folder)
        }
    }

    /// As a root to read from.
    public var root: SystemRoot { SystemRoot(tree) }

    /// Puts a line of text where there is nothing yet.
    public mutating func file(_ path: String, _ text: String) { bytes(path, Array((text + "\n").utf8)) }

    /// Puts bytes where there is nothing yet.
    public mutating func bytes(_ path: String, _ bytes: [UInt8]) {
        precondition(tree.insert(.file(bytes: bytes, claimedBytes: 4096), at: path), path)
    }

    /// Puts a link where there is nothing yet.
    public mutating func link(_ path: String, _ target: String) {
        precondition(tree.insert(.link(target), at: path), path)
    }

    /// A function, below the others named in `way` from the root bus down.
    public mutating func function(
        _ address: String, below way: [String] = [], bus: String = "0000:00", vendor: UInt16 = 0x1af4,
        device: UInt16 = 0x1000, classCode: UInt32 = 0x010802, driver: String? = "nvme", pool: Int? = nil,
        port: UInt8 = 0, acs: UInt16? = nil, isReadable: Bool = true, group: String? = nil
    ) {
        let place = (["pci\(bus)"] + way + [address]).joined(separator: "/")
        let folder = "sys/devices/\(place)"
        link("sys/bus/pci/devices/\(address)", "../../../devices/\(place)")
        file("\(folder)/vendor", Self.hexadecimal(UInt32(vendor), 4))
        file("\(folder)/device", Self.hexadecimal(UInt32(device), 4))
        file("\(folder)/class", Self.hexadecimal(classCode, 6))
        let space = Self.space(vendor, device, classCode, port: port, acs: acs)
        let bytes = isReadable ? space : Array(space.prefix(64))
        precondition(tree.insert(.file(bytes: bytes, claimedBytes: 4096), at: "\(folder)/config"))
        if let driver { link("\(folder)/driver", "../../../bus/pci/drivers/\(driver)") }
        if let pool {
            file("\(folder)/p2pmem/size", "\(pool)")
            file("\(folder)/p2pmem/available", "\(pool)")
            file("\(folder)/p2pmem/allocate", "")
        }
        if let group {
            link("\(folder)/iommu_group", "../../../../kernel/iommu_groups/\(group)")
            if !tree.holds("sys/kernel/iommu_groups/\(group)") {
                file("sys/kernel/iommu_groups/\(group)/type", "DMA-FQ")
            }
        }
    }

    /// As sysfs writes numbers.
    private static func hexadecimal(_ value: UInt32, _ width: Int) -> String {
        let digits = String(value, radix: 16)
        return "0x" + String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// A bridge; ports are 4 for a root port, 5 for an upstream and 6 for a downstream one.
    public mutating func bridge(
        _ address: String, below way: [String] = [], bus: String = "0000:00", port: UInt8, acs: UInt16? = nil,
        isReadable: Bool = true
    ) {
        function(
            address, below: way, bus: bus, vendor: 0x1b36, device: 0x000c, classCode: 0x060400,
            driver: "pcieport", port: port, acs: acs, isReadable: isReadable)
    }

    /// A block device or an RDMA device, by the path of the function that it is on; nil for none.
    public mutating func named(_ name: String, kind: String, on place: String?) {
        guard let place else {
            precondition(tree.insert(.directory, at: "sys/devices/virtual/\(kind)/\(name)"))
            link("sys/class/\(kind)/\(name)", "../../devices/virtual/\(kind)/\(name)")
            return
        }
        let folder = "sys/devices/\(place)/\(kind)/\(name)"
        link("\(folder)/device", "../..")
        link("sys/class/\(kind)/\(name)", "../../devices/\(place)/\(kind)/\(name)")
    }

    /// A block device that is made of others: of device mapper, or of md with a level, which may not be shown.
    public mutating func stack(_ name: String, of parts: [String], md level: String?) {
        let folder = "sys/devices/virtual/block/\(name)"
        file("\(folder)/size", "8")
        link("sys/class/block/\(name)", "../../devices/virtual/block/\(name)")
        for part in parts { link("\(folder)/slaves/\(part)", "../../\(part)") }
        if name.hasPrefix("dm") { file("\(folder)/dm/name", name) }
        if let level { file("\(folder)/md/level", level) }
    }

    /// 4096 bytes of configuration space: numbers, a power management and a PCI Express capability, a serial number,
    /// ACS.
    private static func space(
        _ vendor: UInt16, _ device: UInt16, _ classCode: UInt32, port: UInt8, acs: UInt16?
    ) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 4096)
        func put(_ offset: Int, _ value: UInt32, _ count: Int) {
            for index in 0..<count { bytes[offset + index] = UInt8(value >> (8 * index) & 0xff) }
        }
        put(0, UInt32(vendor), 2)
        put(2, UInt32(device), 2)
        put(6, 0x10, 2)
        put(9, classCode, 3)
        put(0x2c, 0xdead_beef, 4)
        put(0x34, 0x40, 1)
        put(0x40, 0x0003_5001, 4)
        put(0x50, 0x0002_0010 | UInt32(port) << 20, 4)
        // A serial number, which no capture may keep; then ACS.
        put(0x100, 0x1501_0003, 4)
        put(0x104, 0x5ec2_e7a1, 4)
        put(0x108, 0x5ec2_e7a2, 4)
        put(0x150, acs == nil ? 0x0001_0001 : 0x1601_0001, 4)
        if let acs {
            put(0x160, 0x0001_000d, 4)
            put(0x164, 0x001d, 2)
            put(0x166, UInt32(acs), 2)
        }
        return bytes
    }
}

extension TestMachine {
    /// A machine of one kind of constraint in any size: root ports, each with a switch, each with four NVMe drives that
    /// publish p2pmem.
    public static func large(drives: Int, isReadable: Bool = true) -> TestMachine {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x29c0, classCode: 0x060000, driver: nil)
        var bus = 1
        var number = 0
        var rootBus = "0000:00"
        var domain = "0000"
        var slot = 1
        while number < drives {
            if bus > 220 || slot > 30 {
                let next = (Int(domain, radix: 16) ?? 0) + 1
                domain = String(repeating: "0", count: 3) + String(next, radix: 16)
                (rootBus, bus, slot) = ("\(domain):00", 1, 0)
            }
            let port = "\(domain):00:\(hex(slot)).0"
            machine.bridge(port, bus: rootBus, port: 4, acs: slot % 3 == 0 ? 0x1d : 0, isReadable: isReadable)
            let up = "\(domain):\(hex(bus)):00.0"
            machine.bridge(up, below: [port], bus: rootBus, port: 5, isReadable: isReadable)
            for index in 0..<4 where number < drives {
                let down = "\(domain):\(hex(bus + 1)):\(hex(index)).0"
                machine.bridge(
                    down, below: [port, up], bus: rootBus, port: 6, acs: slot % 5 == 0 ? 0x1d : 0,
                    isReadable: isReadable)
                let drive = "\(domain):\(hex(bus + 2 + index)):00.0"
                machine.function(
                    drive, below: [port, up, down], bus: rootBus, pool: 16 << 20, isReadable: isReadable)
                machine.named(
                    "nvme\(number)n1", kind: "block", on: "pci\(rootBus)/\(port)/\(up)/\(down)/\(drive)")
                number += 1
            }
            bus += 6
            slot += 1
        }
        return machine
    }

    private static func hex(_ value: Int) -> String {
        (value < 16 ? "0" : "") + String(value, radix: 16)
    }

    /// Writes it into a folder, or below one in it, so that it is read by system calls.
    public func write(to folder: TemporaryFolder, below top: String? = nil) {
        tree.forEach { path, content, _ in
            let path = top.map { "\($0)/\(path)" } ?? path
            switch content {
            case .directory: folder.folder(path)
            case .link(let target): folder.link(path, to: target)
            case .file(let bytes, _): folder.file(path, bytes)
            }
        }
    }
}
