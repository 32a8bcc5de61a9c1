// SPDX-License-Identifier: Apache-2.0

import CCrypto
import PeerMR

/// SHA-256 (FIPS 180-4) of bytes that come piece by piece, computed by libcrypto.
@safe struct Digest: ~Copyable {
    private let context: OpaquePointer

    init() throws(PeerMRError) {
        guard let context = unsafe EVP_MD_CTX_new() else { throw Self.failed }
        guard unsafe EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
            unsafe EVP_MD_CTX_free(context)
            throw Self.failed
        }
        unsafe self.context = context
    }

    deinit { unsafe EVP_MD_CTX_free(context) }

    func update(_ bytes: RawSpan) throws(PeerMRError) {
        let result = unsafe bytes.withUnsafeBytes { unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
        guard result == 1 else { throw Self.failed }
    }

    /// The digest in hexadecimal. Nothing can be added after it.
    consuming func hexadecimal() throws(PeerMRError) -> String { describe(try bytes()) }

    /// The digest, 32 bytes. Nothing can be added after it.
    consuming func bytes() throws(PeerMRError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        guard unsafe EVP_DigestFinal_ex(context, &bytes, &count) == 1 else { throw Self.failed }
        return Array(bytes.prefix(Int(count)))
    }

    /// No memory, or a configuration of OpenSSL that has no SHA-256: nothing else is known to end here.
    private static var failed: PeerMRError {
        PeerMRError(
            .system, reason: "libcrypto cannot compute SHA-256",
            remedy: "see whether `openssl dgst -sha256 /dev/null` works here")
    }
}
