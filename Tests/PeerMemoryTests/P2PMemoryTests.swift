// SPDX-License-Identifier: Apache-2.0

import Glibc
import PCITopology
import PeerMemory
import SystemPackage
import PeerMRCore
import TestSupport
import Testing

/// Allocation from a pool, where a file stands for the device's memory. Real p2pmem is tried in the lab.
@Suite struct P2PMemoryTests {
    let folder = TemporaryFolder()
    // swift-format-ignore: NeverForceUnwrap
    let provider = PCIAddress("0000:01:00.0")!
    private static let pool = "sys/bus/pci/devices/0000:01:00.0/p2pmem"

    init() {
        folder.file("\(Self.pool)/size", "65536\n")
        folder.file("\(Self.pool)/available", "32768\n")
    }

    private func allocate(_ byteCount: Int) throws(PeerMRError) -> P2PMemory {
        try P2PMemory(allocating: byteCount, from: provider, root: folder.root)
    }

    /// The pages come with their last owner's bytes: no peer may read those.
    @Test func isWipedAndNoMoreThanThat() throws {
        folder.file("\(Self.pool)/allocate", [UInt8](repeating: 0xa5, count: 65536))
        do {
            let memory = try allocate(5000)
            #expect(memory.byteCount == 8192)
            #expect(memory.provider == provider)
            let bytes = UnsafeRawBufferPointer(start: memory.baseAddress, count: 8192)
            #expect(bytes.allSatisfy { $0 == 0 })
        }
        let left = try #require(folder.root.contents("\(Self.pool)/allocate", limit: 65536))
        #expect(left.prefix(8192).allSatisfy { $0 == 0 })
        #expect(left.dropFirst(8192).allSatisfy { $0 == 0xa5 })
    }

    @Test func canBeWipedAgain() throws {
        folder.file("\(Self.pool)/allocate", [UInt8](repeating: 0, count: 4096))
        let memory = try allocate(4096)
        memory.baseAddress.storeBytes(of: 0xdead_beef, toByteOffset: 4088, as: UInt64.self)
        memory.wipe()
        #expect(memory.baseAddress.load(fromByteOffset: 4088, as: UInt64.self) == 0)
    }

    /// What is gone is an error, also where nothing is to be wiped; the rest of the memory stays as it is.
    @Test func aPartThatIsGoneIsNotWiped() throws {
        folder.file("\(Self.pool)/allocate", [UInt8](repeating: 0, count: 8192))
        let memory = try allocate(8192)
        memory.baseAddress.initializeMemory(as: UInt8.self, repeating: 0xa5, count: 8192)
        try memory.wipePart(4096..<4104)
        #expect(memory.baseAddress.load(fromByteOffset: 4096, as: UInt64.self) == 0)
        #expect(memory.baseAddress.load(fromByteOffset: 4104, as: UInt8.self) == 0xa5)
        #expect(truncate(folder.path.appending("\(Self.pool)/allocate").string, 4096) == 0)
        for range in [4096..<8192, 4096..<4096] {
            let error = #expect(throws: PeerMRError.self) { try memory.wipePart(range) }
            #expect(error?.code == .memoryRevoked)
        }
        try memory.wipePart(0..<0)
        #expect(memory.baseAddress.load(as: UInt8.self) == 0xa5)
    }

    @Test func isUnmappedWithItsOwner() throws {
        folder.file("\(Self.pool)/allocate", [UInt8](repeating: 0, count: 4096))
        var resident: UInt8 = 0
        let address: UnsafeMutableRawPointer
        do {
            let memory = try allocate(4096)
            address = memory.baseAddress
            #expect(mincore(address, 4096, &resident) == 0)
        }
        #expect(mincore(address, 4096, &resident) != 0)
    }

    @Test func anOldKernelLetsNoProgramAllocate() {
        let error = #expect(throws: PeerMRError.self) { _ = try allocate(4096) }
        #expect(error?.code == .notSupported)
        #expect(error?.reason.contains("0000:01:00.0") == true)
    }

    @Test func aFunctionWithoutPoolIsToldFromOneThatIsNotThere() throws {
        folder.folder("sys/bus/pci/devices/0000:02:00.0")
        let bare = try #require(PCIAddress("0000:02:00.0"))
        let none = try #require(PCIAddress("0000:03:00.0"))
        let first = #expect(throws: PeerMRError.self) {
            _ = try P2PMemory(allocating: 4096, from: bare, root: folder.root)
        }
        #expect(first?.reason == "0000:02:00.0 publishes no p2pmem")
        let second = #expect(throws: PeerMRError.self) {
            _ = try P2PMemory(allocating: 4096, from: none, root: folder.root)
        }
        #expect(second?.reason == "there is no PCI function 0000:03:00.0")
    }

    @Test func aPoolThatCannotBeOpened() {
        folder.folder("\(Self.pool)/allocate")
        let error = #expect(throws: PeerMRError.self) { _ = try allocate(4096) }
        #expect(error?.call == "open")
        #expect(error?.errno == .isDirectory)
    }

    @Test func moreThanThePoolHasNamesItsFigures() {
        folder.file("\(Self.pool)/allocate", "")
        let error = #expect(throws: PeerMRError.self) { _ = try allocate(1 << 50) }
        #expect(error?.code == .resourceLimit)
        #expect(error?.errno == .noMemory)
        #expect(error?.reason.contains("64 KiB") == true)
        #expect(error?.reason.contains("32 KiB are free") == true)
    }

    /// A provider that is gone refuses the mapping with ENODEV, as /dev/null does.
    @Test func aProviderThatIsGone() {
        folder.link("\(Self.pool)/allocate", to: "/dev/null")
        let error = #expect(throws: PeerMRError.self) { _ = try allocate(4096) }
        #expect(error?.code == .memoryRevoked)
        #expect(error?.errno == .operationNotSupportedByDevice)
    }

    @Test(arguments: [0, -1, Int.min, Int.max])
    func whatIsNoSizeIsRefused(_ byteCount: Int) {
        folder.file("\(Self.pool)/allocate", "")
        #expect(throws: PeerMRError.self) { _ = try allocate(byteCount) }
    }
}
