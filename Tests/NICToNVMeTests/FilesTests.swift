// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerMRCore
import PeerStorage
import PeerTransfer
import SystemPackage
import TestSupport
import Testing

@testable import NICToNVMe

@Suite struct FilesTests {
    let folder = TemporaryFolder()

    private func digest(_ pieces: [[UInt8]]) throws -> String {
        let digest = try Digest()
        for piece in pieces { try digest.update(piece.span.bytes) }
        return try digest.hexadecimal()
    }

    /// The examples of FIPS 180-2.
    @Test(arguments: [
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ])
    func theDigestIsSHA256(_ text: String, _ expected: String) throws {
        #expect(try digest([Array(text.utf8)]) == expected)
    }

    @Test func piecesMakeOneDigest() throws {
        let piece = [UInt8](repeating: 0x61, count: 1000)
        let expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        #expect(try digest(Array(repeating: piece, count: 1000)) == expected)
    }

    /// Hashing takes minutes where the file is large: it ends when it is told to.
    @Test func hashingHearsTheStop() throws {
        folder.file("data", "some bytes")
        let file = try openSource(folder.path.appending("data").string)
        let pipe = try FileDescriptor.pipe()
        defer { for end in [file, pipe.readEnd, pipe.writeEnd] { try? end.close() } }
        let all = try Digest()
        try hash(file, upTo: 10, into: all, stop: pipe.readEnd.rawValue)
        #expect(try all.hexadecimal() == digest([Array("some bytes".utf8)]))
        _ = try pipe.writeEnd.writeAll([1])
        let none = try Digest()
        #expect(throws: PeerMRError.stopped) { try hash(file, upTo: 10, into: none, stop: pipe.readEnd.rawValue) }
    }

    @Test func aFileThatBecomesShorterIsNoticed() throws {
        folder.file("data", [1, 2, 3] as [UInt8])
        let file = try openSource(folder.path.appending("data").string)
        defer { try? file.close() }
        let error = #expect(throws: PeerMRError.self) {
            var room = [UInt8](repeating: 0, count: 4)
            var span = room.mutableSpan
            var bytes = span.mutableBytes
            try fill(&bytes, from: file, at: 0)
        }
        #expect(error?.reason.contains("shorter") == true)
    }

    /// A drive that is too small is refused before the first byte is asked for.
    @Test func aDriveNeedsRoom() throws {
        folder.file("drive", "")
        let file = try OwnedDescriptor(opening: folder.path.appending("drive"), flags: 0)
        let drive = BlockDevice(standIn: file, name: "drive", byteCount: 4096, blockBytes: 512)
        try checkRoom(on: drive, for: 4096)
        let error = #expect(throws: PeerMRError.self) { try checkRoom(on: drive, for: 4097) }
        #expect(error?.code == .invalidArgument && error?.reason.contains("4096 bytes") == true)
    }

    @Test func sizesThatCannotBeSent() throws {
        folder.file("empty", "")
        for name in ["empty", "."] {
            let file = try openSource(folder.path.appending(name).string)
            defer { try? file.close() }
            let error = #expect(throws: PeerMRError.self) { try size(of: file, name) }
            #expect(error?.code == .invalidArgument)
            #expect(error?.reason.hasPrefix(name) == true)
        }
        let pipe = try FileDescriptor.pipe()
        defer { for end in [pipe.readEnd, pipe.writeEnd] { try? end.close() } }
        let error = #expect(throws: PeerMRError.self) { try size(of: pipe.readEnd, "a pipe") }
        #expect(error?.reason == "a pipe is no file with a size")
    }

    @Test func aFileThatIsNotThereIsExplained() {
        let error = #expect(throws: PeerMRError.self) { try openSource("/nonexistent/file") }
        #expect(error?.code == .notFound)
        #expect(error?.errno == .noSuchFileOrDirectory)
        #expect(error?.remedy?.contains("read") == true)
    }
}
