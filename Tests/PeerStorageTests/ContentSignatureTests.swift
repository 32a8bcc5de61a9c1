// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import TestSupport
import Testing

@testable import PeerStorage

/// What stands on a drive must be found before it is overwritten. libblkid reads a file as it reads a drive.
@Suite struct ContentSignatureTests {
    let folder = TemporaryFolder()

    private func content(_ change: (inout [UInt8]) -> Void) throws -> String? {
        var image = [UInt8](repeating: 0, count: 4 << 20)
        change(&image)
        folder.file("image", image)
        let file = try FileDescriptor.open(folder.path.appending("image"), .readOnly)
        defer { try? file.close() }
        return ContentSignature.find(on: file.rawValue)
    }

    private func put(_ text: String, at offset: Int, in image: inout [UInt8]) {
        for (index, byte) in text.utf8.enumerated() { image[offset + index] = byte }
    }

    @Test func anEmptyDriveHoldsNothing() throws {
        #expect(try content { _ in } == nil)
    }

    @Test func bytesOfNoKnownKindAreNothing() throws {
        var random = SeededGenerator(seed: 5)
        let found = try content { image in
            for index in 8192..<65536 { image[index] = UInt8(truncatingIfNeeded: random.next()) }
        }
        #expect(found == nil)
    }

    @Test func aPartitionTable() throws {
        let found = try content { image in
            image[510] = 0x55
            image[511] = 0xaa
            // One entry: Linux, from block 2048, 4096 blocks.
            image.replaceSubrange(446..<462, with: [0, 0, 2, 0, 0x83, 0, 3, 0, 0, 8, 0, 0, 0, 16, 0, 0])
        }
        #expect(found == "a partition table (dos)")
    }

    @Test func swapSpace() throws {
        let found = try content { image in
            put("SWAPSPACE2", at: 4086, in: &image)
            image[1024] = 1  // version
            image[1028] = 255  // last page
            image[1029] = 3
        }
        #expect(found == "data of type swap")
    }

    @Test func anEncryptedVolume() throws {
        let found = try content { image in
            image.replaceSubrange(0..<8, with: [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe, 0, 1])
        }
        #expect(found == "data of type crypto_LUKS")
    }

    @Test func aDescriptorThatCannotBeReadIsNotEmpty() {
        #expect(ContentSignature.find(on: -1) != nil)
    }
}
