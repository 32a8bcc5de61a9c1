// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMR
import TestSupport
import Testing

/// Whether drives, and drives that are several in one, take peer memory.
@Suite struct BlockClientTests {
    private static func api(of name: String, kernel: String?, _ fill: (inout TestMachine) -> Void) throws -> Answer {
        var machine = TestMachine(kernel: kernel)
        machine.bridge("0000:00:01.0", port: 4, acs: 0)
        for (index, driver) in ["nvme", "nvme", "nvme", "ahci"].enumerated() {
            machine.function("0000:01:00.\(index)", below: ["0000:00:01.0"], driver: driver, pool: index == 0 ? 4096 : nil)
            machine.named("disk\(index)", kind: "block", on: "pci0000:00/0000:00:01.0/0000:01:00.\(index)")
        }
        fill(&machine)
        let provider = try #require(PCIAddress("0000:01:00.0"))
        return Assessment(of: provider, for: .blockDevice(name), root: machine.root).api
    }

    @Test func aDriveOfTheNVMeDriver() throws {
        #expect(try Self.api(of: "disk1", kernel: "6.2.0") { _ in }.outcome == .yes)
        #expect(try Self.api(of: "disk3", kernel: "7.3.0") { _ in }.outcome == .no)
    }

    /// md and NVMe multipath pass peer memory on from Linux 7.2 on; a vendor's kernel may, under an older number.
    @Test(
        arguments: [
            ("7.2.0", .yes), ("7.3.4", .yes), ("7.1.9", .no), ("6.12.0", .no), (nil, .unknown),
            ("6.12.117+deb13-amd64", .no), ("6.12.0-237.el10.x86_64", .unknown), ("6.8.0-1030-azure", .unknown),
            ("7.2.0-1-nvidia", .yes),
        ] as [(String?, Answer.Outcome)])
    func anArray(_ kernel: String?, _ outcome: Answer.Outcome) throws {
        let array = try Self.api(of: "md0", kernel: kernel) { $0.stack("md0", of: ["disk1", "disk2"], md: "raid10") }
        #expect(array.outcome == outcome && array.reason.contains("md0 a raid10 array"))
        let multipath = try Self.api(of: "nvme9n1", kernel: kernel) { machine in
            let subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys0"
            machine.file("\(subsystem)/nvme9n1/size", "8")
            machine.link("\(subsystem)/nvme9n1/device", "..")
            machine.link("sys/class/block/nvme9n1", "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme9n1")
            let place = "pci0000:00/0000:00:01.0/0000:01:00.1/nvme/nvme9"
            machine.file("sys/devices/\(place)/cntlid", "1")
            machine.link("\(subsystem)/nvme9", "../../../\(place)")
        }
        #expect(multipath.outcome == outcome && multipath.reason.contains("multipath"))
    }

    @Test func anArrayWithAnotherDriversDisk() throws {
        let mixed = try Self.api(of: "md0", kernel: "7.3.0") { $0.stack("md0", of: ["disk1", "disk3"], md: "raid0") }
        #expect(mixed.outcome == .no && mixed.reason.contains("ahci"))
        let five = try Self.api(of: "md0", kernel: "7.3.0") { $0.stack("md0", of: ["disk1", "disk2"], md: "raid5") }
        #expect(five.outcome == .no)
        let mapper = try Self.api(of: "dm-0", kernel: "7.3.0") { $0.stack("dm-0", of: ["disk1"], md: nil) }
        #expect(mapper.outcome == .no)
        let unshown = try Self.api(of: "md0", kernel: "7.3.0") { $0.stack("md0", of: ["disk1"], md: nil) }
        #expect(unshown.outcome == .unknown)
    }
}
