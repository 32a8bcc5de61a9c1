// SPDX-License-Identifier: Apache-2.0

import PCITopology
import SystemPackage
import PeerMRCore
import TestSupport
import Testing

@testable import PeerMemory

@Suite struct ErrorTests {
    let folder = TemporaryFolder()
    // swift-format-ignore: NeverForceUnwrap
    let provider = PCIAddress("0000:01:00.0")!

    private func pool() throws -> P2PPool {
        folder.file("sys/bus/pci/devices/\(provider)/p2pmem/size", "4194304\n")
        folder.file("sys/bus/pci/devices/\(provider)/p2pmem/available", "65536\n")
        return try #require(P2PPool(of: provider, root: folder.root))
    }

    @Test(arguments: [Errno.permissionDenied, .notPermitted])
    func aPoolWithoutRights(_ errno: Errno) {
        let error = PeerMRError.openPool(errno, provider)
        #expect(error.code == .notPermitted)
        #expect(error.reason.contains("0000:01:00.0"))
        #expect(error.remedy?.contains("/sys/bus/pci/devices/0000:01:00.0/p2pmem/allocate") == true)
    }

    @Test func aPoolInAContainer() {
        let error = PeerMRError.openPool(.readOnlyFileSystem, provider)
        #expect(error.code == .system)
        #expect(error.remedy?.contains("mount sysfs writable") == true)
    }

    @Test func aPoolThatIsTooSmallNamesItsFigures() throws {
        let error = PeerMRError.allocate(.noMemory, 8 << 20, try pool())
        #expect(error.code == .resourceLimit)
        #expect(error.reason.contains("8 MiB"))
        #expect(error.reason.contains("4 MiB"))
        #expect(error.reason.contains("64 KiB are free"))
        #expect(error.remedy != nil)
    }

    @Test func aPoolWhoseDriveIsGone() throws {
        let error = PeerMRError.allocate(.operationNotSupportedByDevice, 4096, try pool())
        #expect(error.code == .memoryRevoked)
        #expect(error.remedy?.contains("removed") == true)
    }

    @Test func anOldKernelKeepsItToItself() {
        let error = PeerMRError.poolNotAllocatable(provider)
        #expect(error.code == .notSupported)
        #expect(error.remedy?.contains("6.2") == true)
    }

    @Test func everyErrnoGivesAWholeSentence() throws {
        let pool = try pool()
        for number in Array(Int32(1)...133) + [524] {
            let errno = Errno(rawValue: number)
            for error in [.openPool(errno, provider), PeerMRError.allocate(errno, 4096, pool)] {
                #expect(error.errno == errno)
                #expect(!error.reason.isEmpty && !error.reason.hasSuffix("."))
                #expect(error.remedy?.hasSuffix(".") == false)
                #expect(error.reason.contains("0000:01:00.0"))
            }
        }
    }
}
