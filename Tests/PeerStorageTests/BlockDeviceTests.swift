// SPDX-License-Identifier: Apache-2.0

import PeerStorage
import SystemPackage
import PeerMRCore
import TestSupport
import Testing

/// What is named as a drive and is none. Drives that hold something, or are in use, are tried in the lab.
@Suite struct BlockDeviceTests {
    let folder = TemporaryFolder()

    private func failure(_ path: FilePath, overwrite: Bool = false) -> PeerMRError? {
        #expect(throws: PeerMRError.self) { _ = try BlockDevice(opening: path, overwrite: overwrite) }
    }

    @Test(arguments: [false, true])
    func aPathThatIsNotThere(_ overwrite: Bool) {
        let error = failure(folder.path.appending("nvme9n1"), overwrite: overwrite)
        #expect(error?.code == .notFound)
        #expect(error?.errno == .noSuchFileOrDirectory)
    }

    @Test(arguments: [false, true])
    func anOrdinaryFile(_ overwrite: Bool) {
        folder.file("drive.img", [UInt8](repeating: 0, count: 1 << 16))
        let error = failure(folder.path.appending("drive.img"), overwrite: overwrite)
        #expect(error?.code == .invalidArgument)
        #expect(error?.reason.contains("no block device") == true)
    }

    @Test func aFolder() {
        #expect(failure(folder.path)?.code == .invalidArgument)
    }

    @Test(arguments: ["/dev/null", "/dev/zero"])
    func aCharacterDevice(_ path: String) {
        #expect(failure(FilePath(path))?.code == .invalidArgument)
    }
}
