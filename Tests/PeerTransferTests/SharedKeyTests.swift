// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR
import SystemPackage
import TestSupport
import Testing

@testable import PeerTransfer

@Suite struct SharedKeyTests {
    /// A file with these bytes and this mode.
    private func key(_ bytes: [UInt8], mode: UInt16 = 0o600) throws -> SharedKey {
        let path = "/tmp/peermr-key-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        let file = open(path, O_CREAT | O_EXCL | O_WRONLY, 0o600)
        defer {
            close(file)
            unlink(path)
        }
        #expect(bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) } == bytes.count)
        #expect(fchmod(file, mode_t(mode)) == 0)
        return try SharedKey(file: FilePath(path))
    }

    /// RFC 4231, test cases 1 to 3 and 6: what any other implementation computes.
    @Test(
        arguments: [
            (
                [UInt8](repeating: 0x0b, count: 20), Array("Hi There".utf8),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                [UInt8](repeating: 0xaa, count: 20), [UInt8](repeating: 0xdd, count: 50),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
            ),
            (
                [UInt8](repeating: 0xaa, count: 131),
                Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
        ] as [([UInt8], [UInt8], String)])
    func theCodeIsThatOfTheStandard(_ bytes: [UInt8], _ message: [UInt8], _ code: String) throws {
        let found = try SharedKey(bytes).code(message)
        #expect(found.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == code)
        #expect(try SharedKey(bytes).isCode(found, of: message))
        #expect(try !SharedKey(bytes).isCode(Array(found.dropLast()), of: message))
        #expect(try !SharedKey(bytes).isCode(found, of: message + [0]))
    }

    /// A key is the same with the end of line that an editor adds, and without.
    @Test func endsOfLinesDoNotCount() throws {
        let text = Array("0123456789abcdef0123".utf8)
        let plain = try key(text).code([1])
        for end in ["\n", "\r\n", "\n\n"] { #expect(try key(text + Array(end.utf8)).code([1]) == plain) }
        #expect(try key([10] + text).code([1]) != plain)
        #expect(try key(text + [32]).code([1]) != plain)
    }

    @Test(
        arguments: [
            (0, 0o600, PeerMRError.Code.invalidArgument, "is empty"), (15, 0o600, .invalidArgument, "16 to 4096 bytes"),
            (4097, 0o600, .invalidArgument, "16 to 4096 bytes"), (9000, 0o600, .invalidArgument, "16 to 4096 bytes"),
            (32, 0o640, .notPermitted, "mode 640"), (32, 0o604, .notPermitted, "mode 604"),
            (32, 0o602, .notPermitted, "mode 602"), (32, 0o644, .notPermitted, "mode 644"),
        ] as [(Int, UInt16, PeerMRError.Code, String)])
    func aFileThatIsNoKeyIsNamed(_ count: Int, _ mode: UInt16, _ code: PeerMRError.Code, _ words: String) throws {
        let error = #expect(throws: PeerMRError.self) {
            try key([UInt8](repeating: 0x41, count: count), mode: mode)
        }
        #expect(error?.code == code && error?.reason.contains(words) == true && error?.remedy != nil)
    }

    @Test(arguments: [16, 17, 4096], [0o600, 0o400] as [UInt16])
    func aKeyIsRead(_ count: Int, _ mode: UInt16) throws {
        #expect(throws: Never.self) { try key([UInt8](repeating: 0x41, count: count), mode: mode) }
    }

    @Test func whatIsNoFileIsNamed() throws {
        for (path, words) in [
            ("/dev/zero", "no regular file"), ("/", "no regular file"), ("/no/such/key", "cannot be read"),
        ] {
            let error = #expect(throws: PeerMRError.self) { try SharedKey(file: FilePath(path)) }
            #expect(error?.reason.contains(words) == true, "\(error?.reason ?? "")")
        }
    }
}
