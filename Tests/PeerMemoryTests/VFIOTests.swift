// SPDX-License-Identifier: Apache-2.0

import Glibc
import PCITopology
import SystemPackage
import PeerMRCore
import TestSupport
import Testing

@testable import PeerMemory

/// Functions that are bound to vfio-pci or are not, from a copy of sysfs. Opening real ones is tried in the lab.
@Suite struct VFIOTests {
    let folder = TemporaryFolder()
    // swift-format-ignore: NeverForceUnwrap
    let address = PCIAddress("0000:03:00.0")!
    private static let place = "sys/bus/pci/devices/0000:03:00.0"

    /// A function in group 7, with a neighbor.
    private func function(driver: String?, neighbor: String? = nil, group: Int? = 7) {
        folder.folder(Self.place)
        folder.folder("sys/bus/pci/drivers/vfio-pci")
        folder.file("\(Self.place)/driver_override", "(null)\n")
        folder.file("sys/bus/pci/drivers_probe", "")
        if let driver {
            folder.folder("sys/bus/pci/drivers/\(driver)")
            folder.file("sys/bus/pci/drivers/\(driver)/unbind", "")
            folder.link("\(Self.place)/driver", to: "../../drivers/\(driver)")
        }
        guard let group else { return }
        folder.folder("sys/kernel/iommu_groups/\(group)/devices/0000:03:00.0")
        folder.link("\(Self.place)/iommu_group", to: "../../../../kernel/iommu_groups/\(group)")
        if let neighbor {
            folder.folder("sys/bus/pci/drivers/\(neighbor)")
            folder.folder("sys/kernel/iommu_groups/\(group)/devices/0000:03:00.1")
            folder.link("sys/bus/pci/devices/0000:03:00.1/driver", to: "../../drivers/\(neighbor)")
        }
    }

    private func open() -> PeerMRError? {
        #expect(throws: PeerMRError.self) { _ = try VFIODevice(address, root: folder.root) }
    }

    private func state() throws -> VFIOBinding.State {
        try VFIOBinding(address, root: folder.root).state()
    }

    private func written(_ path: String) -> String? {
        folder.root.contents(path, limit: 4096).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func aFunctionThatIsNotThere() {
        #expect(open()?.code == .notFound)
        #expect(open()?.reason == "there is no PCI function 0000:03:00.0")
    }

    @Test func aFunctionOfAnotherDriver() throws {
        function(driver: "nvme")
        let error = try #require(open())
        #expect(error.code == .busy)
        #expect(error.reason == "the driver nvme has 0000:03:00.0, not vfio-pci")
        let remedy =
            "echo vfio-pci > /sys/bus/pci/devices/0000:03:00.0/driver_override; "
            + "echo 0000:03:00.0 > /sys/bus/pci/devices/0000:03:00.0/driver/unbind; "
            + "echo 0000:03:00.0 > /sys/bus/pci/drivers_probe"
        #expect(error.remedy?.hasSuffix(remedy) == true)
    }

    @Test func aFunctionOfNoDriver() throws {
        function(driver: nil)
        let error = try #require(open())
        #expect(error.reason == "no driver has 0000:03:00.0, not vfio-pci")
        #expect(error.remedy?.contains("unbind") == false)
    }

    @Test func aMachineWithoutIOMMU() {
        function(driver: "vfio-pci", group: nil)
        #expect(open()?.code == .notFound)
        #expect(open()?.remedy?.contains("intel_iommu=on") == true)
    }

    @Test func aGroupWithoutIOMMUIsNotTaken() {
        function(driver: "vfio-pci")
        folder.file("dev/vfio/noiommu-7", "")
        #expect(open()?.code == .unsafeConfiguration)
        #expect(open()?.remedy?.contains("enable_unsafe_noiommu_mode") == true)
    }

    @Test func aKernelWithTheNewerAPIOnly() {
        function(driver: "vfio-pci")
        #expect(open()?.code == .notFound)
        folder.folder("dev/vfio/devices")
        #expect(open()?.code == .notSupported)
        #expect(open()?.remedy?.contains("CONFIG_VFIO_GROUP") == true)
    }

    @Test func whatIsNoGroup() {
        function(driver: "vfio-pci")
        folder.file("dev/vfio/7", "")
        #expect(open()?.call == "VFIO_GROUP_GET_STATUS")
    }

    @Test func theStateOfAFunction() throws {
        function(driver: "vfio-pci", neighbor: "nvme")
        let state = try state()
        #expect(state.driver == "vfio-pci" && state.isVFIO && state.group == 7)
        #expect(state.driverOverride == nil)
        #expect(state.neighbors.map { "\($0.address)" } == ["0000:03:00.1"])
        #expect(state.obstacles.map(\.driver) == ["nvme"])
        let error = PeerMRError.groupNotViable(state, 7)
        #expect(error.reason.contains("0000:03:00.1 (nvme)"))
    }

    @Test(arguments: ["pcieport", "pci-stub", "vfio-pci", "mlx5_vfio_pci", "nvgrace-gpu-vfio-pci"])
    func neighborsThatDoNoHarm(_ driver: String) throws {
        function(driver: "vfio-pci", neighbor: driver)
        #expect(try state().obstacles.isEmpty)
    }

    // Binding

    @Test func aBindingThatIsRefusedIsUndone() throws {
        function(driver: "nvme")
        // Nobody acts on what is written here: the function keeps its driver.
        let error = #expect(throws: PeerMRError.self) { try VFIOBinding(address, root: folder.root).bind() }
        #expect(error?.reason == "vfio-pci does not bind to 0000:03:00.0")
        #expect(written("\(Self.place)/driver_override")?.hasPrefix("\n") == true)
        #expect(written("sys/bus/pci/drivers/nvme/unbind") == "0000:03:00.0")
        #expect(written("sys/bus/pci/drivers_probe") == "0000:03:00.0")
    }

    @Test func withoutAnIOMMUNothingIsWritten() {
        function(driver: "nvme", group: nil)
        #expect(throws: PeerMRError.self) { try VFIOBinding(address, root: folder.root).bind() }
        #expect(written("\(Self.place)/driver_override") == "(null)\n")
    }

    @Test func withoutTheDriverNothingIsWritten() throws {
        folder.folder("sys/kernel/iommu_groups/7/devices")
        folder.folder(Self.place)
        folder.link("\(Self.place)/iommu_group", to: "../../../../kernel/iommu_groups/7")
        let error = #expect(throws: PeerMRError.self) { try VFIOBinding(address, root: folder.root).bind() }
        #expect(error?.remedy?.contains("modprobe vfio-pci") == true)
    }

    @Test func whatIsBoundAlreadyIsLeftAlone() throws {
        function(driver: "vfio-pci")
        #expect(try VFIOBinding(address, root: folder.root).bind() == "vfio-pci")
        #expect(written("\(Self.place)/driver_override") == "(null)\n")
    }

    @Test func onlyVFIOIsUnbound() {
        function(driver: "nvme")
        let error = #expect(throws: PeerMRError.self) { try VFIOBinding(address, root: folder.root).unbind() }
        #expect(error?.reason == "the driver nvme has 0000:03:00.0, not vfio-pci")
        #expect(written("\(Self.place)/driver_override") == "(null)\n")
    }

    /// A drive of the function, with one partition.
    private func drive() {
        function(driver: "nvme")
        let node = "sys/devices/pci0000:00/0000:03:00.0/nvme/nvme0/nvme0n1"
        folder.file("\(node)/dev", "259:0\n")
        folder.file("\(node)/nvme0n1p1/dev", "259:1\n")
        folder.link("sys/class/block/nvme0n1", to: "../../../\(node)")
        folder.link("sys/class/block/nvme0n1p1", to: "../../../\(node)/nvme0n1p1")
    }

    private func refusal() -> PeerMRError? {
        let error = #expect(throws: PeerMRError.self) { try VFIOBinding(address, root: folder.root).bind() }
        #expect(written("\(Self.place)/driver_override") == "(null)\n", "nothing may be written")
        return error
    }

    @Test func aMountedDriveIsLeftAlone() {
        drive()
        folder.file("proc/self/mountinfo", "22 1 259:1 / /srv rw,relatime - ext4 /dev/nvme0n1p1 rw\n")
        #expect(refusal()?.code == .busy)
        #expect(refusal()?.reason == "0000:03:00.0 is in use: nvme0n1p1 is mounted on /srv")
        #expect(refusal()?.remedy == "end that first: umount /srv")
    }

    @Test func aDriveThatIsSwappedToIsLeftAlone() {
        drive()
        folder.file("proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1p1 partition 1 0 -2\n")
        #expect(refusal()?.reason == "0000:03:00.0 is in use: nvme0n1p1 is swapped to")
    }

    @Test func aDriveOfAVolumeIsLeftAlone() {
        drive()
        folder.folder("sys/devices/pci0000:00/0000:03:00.0/nvme/nvme0/nvme0n1/holders/dm-0")
        #expect(refusal()?.reason == "0000:03:00.0 is in use: nvme0n1 is part of dm-0")
    }

    @Test func anInterfaceThatIsUpIsLeftAlone() throws {
        function(driver: "mlx5_core")
        let node = "sys/devices/pci0000:00/0000:03:00.0"
        folder.folder(node)
        folder.file("sys/class/net/eth7/flags", "0x1003\n")
        folder.link("sys/class/net/eth7/device", to: "../../../../\(node)")
        #expect(refusal()?.reason == "0000:03:00.0 is in use: eth7 is a network interface that is up")
        folder.file("sys/class/net/eth7/flags", "0x1002\n")
        #expect(try VFIOBinding(address, root: folder.root).uses().isEmpty)
    }

    @Test func anotherFunctionsDriveIsNoneOfOurs() throws {
        drive()
        folder.file("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
        #expect(try VFIOBinding(address, root: folder.root).uses().isEmpty)
    }

    // BARs

    @Test func theKindsOfBARs() {
        folder.file(
            "\(Self.place)/resource",
            """
            0x00000000fe000000 0x00000000fe003fff 0x0000000000140204
            0x0000000000000000 0x0000000000000000 0x0000000000000000
            0x000000000000c000 0x000000000000c0ff 0x0000000000040101
            0x0000000000000000 0x0000000000000000 0x0000000000000000
            0x00000000fd000000 0x00000000fdffffff 0x000000000014220c
            0x0000000000000000 0x0000000000000000 0x0000000000000000
            0x00000000fe004000 0x00000000fe007fff 0x0000000000046200
            """)
        let registers = BaseAddressRegisters(of: address, root: folder.root)
        #expect(registers.memory == [0, 4])
        #expect(registers.isPorts(2) && !registers.isPorts(0))
    }

    private func region(_ byteCount: UInt64) -> VFIODevice.Region {
        VFIODevice.Region(bar: 2, byteCount: byteCount, fileOffset: 2 << 40)
    }

    private func range(_ offset: UInt64, _ byteCount: UInt64) -> VFIODevice.Range {
        VFIODevice.Range(offset: offset, byteCount: byteCount)
    }

    @Test func rangesThatCanBeExported() throws {
        for ranges in [[range(0, 16384)], [range(12288, 4096), range(0, 4096)], [range(0, 8192), range(0, 8192)]] {
            try VFIODevice.check(ranges, in: region(16384), of: address)
        }
    }

    @Test(
        arguments: [
            (0, 0), (0, 16385), (16384, 4096), (12288, 8192), (1 << 63, 4096), (0, 1 << 63), (.max, .max), (512, 4096),
            (0, 512), (4096, 4097),
        ] as [(UInt64, UInt64)])
    func rangesThatCannot(_ offset: UInt64, _ byteCount: UInt64) {
        let error = #expect(throws: PeerMRError.self) {
            try VFIODevice.check([range(0, 4096), range(offset, byteCount)], in: region(16384), of: address)
        }
        #expect(error?.code == .invalidArgument && error?.reason.contains("BAR 2 of 0000:03:00.0") == true)
    }

    @Test func aBARThatIsSmallerThanAPage() {
        let error = #expect(throws: PeerMRError.self) {
            try VFIODevice.check([range(0, 256)], in: region(256), of: address)
        }
        #expect(error?.code == .notSupported)
    }

    @Test func rangesBeyondWhatABufferCanHold() {
        let half = UInt64(1) << 62
        #expect(throws: PeerMRError.self) {
            try VFIODevice.check([range(0, half), range(0, half)], in: region(half), of: address)
        }
    }

    /// Against the plainest way to say it: byte for byte.
    @Test func whereThePartsOfABufferLie() {
        let ranges = [range(20, 5), range(0, 3), range(20, 7)]
        let places = ranges.flatMap { part in (0..<part.byteCount).map { part.offset + $0 } }
        for offset in 0..<places.count {
            for count in 1...(places.count - offset) {
                let pieces = VFIOMemory.pieces(of: ranges, UInt64(offset), UInt64(count))
                let found = pieces.flatMap { piece in (0..<piece.byteCount).map { piece.offset + $0 } }
                #expect(found == Array(places[offset..<offset + count]))
            }
        }
    }

    @Test func everyErrnoGivesAWholeSentence() throws {
        function(driver: "nvme", neighbor: "nvme")
        let state = try state()
        for number in Array(Int32(1)...133) + [524] {
            let errno = Errno(rawValue: number)
            let errors: [PeerMRError] = [
                .openGroup(errno, state, 7, onlyNewAPI: false), .openGroup(errno, state, 7, onlyNewAPI: true),
                .openContainer(errno), .setIOMMU(errno, address), .openDevice(errno, address, 7),
                .vfio("VFIO_GROUP_SET_CONTAINER", errno, address), .reset(errno, address), .noExport(errno, address),
                .export(errno, address, 2), .regionBytes("pread", errno, address, 2),
                .writeBinding(errno, "/sys/x", "y", address),
            ]
            for error in errors {
                #expect(error.errno == errno && error.call != nil)
                #expect(!error.reason.isEmpty && !error.reason.hasSuffix("."))
                #expect(error.remedy?.hasSuffix(".") == false)
            }
        }
        #expect(PeerMRError.regionBytes("pread", .ioError, address, 2).code == .memoryRevoked)
        #expect(PeerMRError.noExport(.inappropriateIOCTLForDevice, address).remedy?.contains("Linux 6.19") == true)
    }
}
