// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import PeerMRCore
import Testing

@testable import PeerStorage

@Suite struct ErrorTests {
    @Test(
        arguments: [
            (.noSuchFileOrDirectory, .notFound, "no drive at /dev/nvme0n1", "lsblk"),
            (.noSuchAddressOrDevice, .notFound, "no drive at", "lsblk"),
            (.operationNotSupportedByDevice, .notFound, "no drive at", "lsblk"),
            (.permissionDenied, .notPermitted, "may not write", "root"),
            (.notPermitted, .notPermitted, "may not write", "root"),
            (.resourceBusy, .busy, "is in use", "overwritten"),
            (.notBlockDevice, .invalidArgument, "no block device", "/dev/nvme0n1"),
            (.isDirectory, .invalidArgument, "no block device", "/dev/nvme0n1"),
            (.invalidArgument, .invalidArgument, "no block device", "/dev/nvme0n1"),
            (.inappropriateIOCTLForDevice, .invalidArgument, "no block device", "/dev/nvme0n1"),
            (.readOnlyFileSystem, .notPermitted, "read-only", "can be written"),
            (.ioError, .system, "cannot be opened", ""),
        ] as [(Errno, PeerMRError.Code, String, String)])
    func openingADrive(_ errno: Errno, _ code: PeerMRError.Code, _ reason: String, _ remedy: String) {
        let error = PeerMRError.openBlockDevice(errno, "/dev/nvme0n1")
        #expect(error.code == code)
        #expect(error.call == "open")
        #expect(error.errno == errno)
        #expect(error.reason.contains(reason), "\(error.reason)")
        #expect(error.reason.contains("/dev/nvme0n1"))
        #expect((error.remedy ?? "").contains(remedy) && (error.remedy == nil) == remedy.isEmpty)
    }

    @Test(
        arguments: [
            (.noFunction, .notSupported, "io_uring_disabled"), (.notPermitted, .notSupported, "io_uring_disabled"),
            (.noMemory, .resourceLimit, "memory.max"), (.invalidArgument, .system, ""),
        ] as [(Errno, PeerMRError.Code, String)])
    func settingUpARing(_ errno: Errno, _ code: PeerMRError.Code, _ remedy: String) {
        let error = PeerMRError.openRing(errno)
        #expect(error.code == code)
        #expect(error.errno == errno)
        #expect((error.remedy ?? "").contains(remedy) && (error.remedy == nil) == remedy.isEmpty)
    }

    @Test func aDriveThatHoldsSomething() {
        let error = PeerMRError.holdsContent("/dev/nvme0n1", "data of type ext4")
        #expect(error.code == .busy)
        #expect(error.reason == "/dev/nvme0n1 holds data of type ext4")
        #expect(error.remedy?.contains("overwritten") == true)
    }

    @Test func everyErrnoGivesAWholeSentence() {
        for number in Array(Int32(1)...133) + [524] {
            let errno = Errno(rawValue: number)
            for error in [.openBlockDevice(errno, "/dev/sda"), PeerMRError.openRing(errno)] {
                #expect(error.errno == errno)
                #expect(!error.reason.isEmpty && !error.reason.hasSuffix("."))
                #expect(error.remedy?.hasSuffix(".") != true)
            }
        }
    }
}
