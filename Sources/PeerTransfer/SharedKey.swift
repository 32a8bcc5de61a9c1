// SPDX-License-Identifier: Apache-2.0

internal import CCrypto
internal import Glibc
public import PeerMR
public import SystemPackage
import PeerMRCore

/// A secret that a server and its clients share, out of a file that no other user may read.
///
/// It proves who asks for a connection, by HMAC-SHA-256 (RFC 2104) over what was said before; it encrypts nothing.
public struct SharedKey: Sendable {
    /// Between the least and the most bytes of a key.
    static let byteCounts = 16...4096
    private let bytes: [UInt8]

    /// Reads a key: all bytes of the file but the ends of lines at its end, so that a text file will do.
    ///
    /// - Throws: `notFound` or `notPermitted` with the errno of open(2), `notPermitted` where others may read or write
    ///   the file, `invalidArgument` for what is no regular file, for fewer than 16 bytes and for more than 4096.
    public init(file path: FilePath) throws(PeerMRError) {
        // What is no file must not make the program wait for a writer.
        let descriptor = unsafe path.withPlatformString { unsafe open($0, O_RDONLY | O_NONBLOCK | O_CLOEXEC) }
        guard descriptor >= 0 else { throw .openKey(currentErrno(), path) }
        let file = OwnedDescriptor(adopting: descriptor)
        var status = stat()
        guard unsafe fstat(file.rawValue, &status) == 0 else { throw .openKey(currentErrno(), path) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .keyIsNoFile(path) }
        guard status.st_mode & 0o077 == 0 else { throw .keyIsOpen(path, String(status.st_mode & 0o777, radix: 8)) }
        var content = [UInt8](repeating: 0, count: Self.byteCounts.upperBound + 3)
        let count = unsafe content.withUnsafeMutableBytes { unsafe read(file.rawValue, $0.baseAddress, $0.count) }
        guard count >= 0 else { throw .openKey(currentErrno(), path) }
        content.removeLast(content.count - count)
        while let last = content.last, last == UInt8(ascii: "\n") || last == UInt8(ascii: "\r") { content.removeLast() }
        guard Self.byteCounts.contains(content.count) else {
            throw content.isEmpty
                ? .keyIsEmpty(path) : .keyOfOtherSize(path, Self.byteCounts.lowerBound, Self.byteCounts.upperBound)
        }
        bytes = content
    }

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The code of a message: 32 bytes that only an owner of the key can compute.
    package func code(_ message: [UInt8]) throws(PeerMRError) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: Self.codeBytes)
        var count = UInt32(code.count)
        let done = unsafe HMAC(
            EVP_sha256(), bytes, Int32(bytes.count), message, message.count, &code, &count)
        guard unsafe done != nil, count == code.count else { throw .noCode() }
        return code
    }

    /// Whether a code is that of a message; takes the same time for every wrong one.
    package func isCode(_ code: [UInt8], of message: [UInt8]) throws(PeerMRError) -> Bool {
        let expected = try self.code(message)
        return unsafe code.count == expected.count && CRYPTO_memcmp(code, expected, expected.count) == 0
    }

    /// The length of a code.
    package static let codeBytes = 32
}

/// Bytes that nobody can foresee, each time others (getrandom(2)).
package func drawNonce(_ count: Int = 32) -> [UInt8] {
    var random = SystemRandomNumberGenerator()
    return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }
}
