// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMemory
import PeerMRCore
import TestSupport
import Testing

@Suite struct P2PPoolTests {
    let folder = TemporaryFolder()

    private func pool(_ name: String, size: String, available: String, allocate: Bool = true) {
        let path = "sys/bus/pci/devices/\(name)/p2pmem"
        folder.file("\(path)/size", size)
        folder.file("\(path)/available", available)
        if allocate { folder.file("\(path)/allocate", "") }
    }

    @Test func readsTheFigures() throws {
        pool("0000:01:00.0", size: "4194304\n", available: "4190208\n")
        let provider = try #require(PCIAddress("0000:01:00.0"))
        let found = try #require(P2PPool(of: provider, root: folder.root))
        #expect(found.provider == provider)
        #expect(found.byteCount == 4_194_304)
        #expect(found.availableBytes == 4_190_208)
        #expect(found.isAllocatable)
    }

    @Test func beforeLinux6_2ProgramsCannotAllocate() throws {
        pool("0000:01:00.0", size: "4096\n", available: "4096\n", allocate: false)
        let provider = try #require(PCIAddress("0000:01:00.0"))
        #expect(P2PPool(of: provider, root: folder.root)?.isAllocatable == false)
    }

    @Test(arguments: [("", "1\n"), ("-1\n", "0\n"), ("0x1000\n", "0\n"), ("many\n", "0\n"), ("1\n", "")])
    func figuresThatCannotBeReadAreNoPool(_ size: String, _ available: String) throws {
        pool("0000:01:00.0", size: size, available: available)
        #expect(P2PPool(of: try #require(PCIAddress("0000:01:00.0")), root: folder.root) == nil)
    }

    @Test func allFindsThoseOfAMachineByAddress() {
        pool("0000:81:00.0", size: "8192\n", available: "0\n")
        pool("0000:01:00.0", size: "4096\n", available: "4096\n")
        pool("10000:e1:00.0", size: "4096\n", available: "4096\n")
        folder.folder("sys/bus/pci/devices/0000:00:1f.0")
        folder.folder("sys/bus/pci/devices/something else/p2pmem")
        let pools = P2PPool.all(root: folder.root)
        #expect(pools.map(\.provider.description) == ["0000:01:00.0", "0000:81:00.0", "10000:e1:00.0"])
    }

    @Test func aMachineWithoutPCIHasNone() {
        #expect(P2PPool.all(root: folder.root).isEmpty)
    }

    @Test func memoryOfAFunctionThatIsNotThereIsExplained() throws {
        let provider = try #require(PCIAddress("ffff:ff:1f.7"))
        let error = #expect(throws: PeerMRError.self) {
            _ = try P2PMemory(allocating: 4096, from: provider)
        }
        #expect(error?.code == .notFound)
        #expect(error?.reason == "there is no PCI function ffff:ff:1f.7")
        #expect(error?.remedy?.contains("lspci") == true)
    }

    @Test(arguments: [0, -4096])
    func noBytesAreRefusedBeforeAnythingElse(_ byteCount: Int) throws {
        let provider = try #require(PCIAddress("ffff:ff:1f.7"))
        let error = #expect(throws: PeerMRError.self) {
            _ = try P2PMemory(allocating: byteCount, from: provider)
        }
        #expect(error?.code == .invalidArgument)
    }
}
