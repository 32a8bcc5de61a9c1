// SPDX-License-Identifier: Apache-2.0

internal import CChecksum
import PeerMR

/// What a chunk carries besides its bytes: their CRC32C (Castagnoli), bound to the place that they belong to.
///
/// It finds what a NIC, a driver, a bus or a drive has changed, dropped or put somewhere else, and no intent: who can
/// change the bytes can change the digest.
package enum ChunkDigest {
    /// The digest of bytes that belong to an offset of the client's range: the CRC32C of the offset, 8 bytes with the
    /// lowest first, and of the bytes.
    package static func of(_ bytes: RawSpan, at offset: UInt64) -> UInt32 {
        var place = offset.littleEndian
        let head = unsafe withUnsafeBytes(of: &place) { unsafe peermr_crc32c(0, $0.baseAddress, $0.count) }
        return unsafe bytes.withUnsafeBytes { unsafe peermr_crc32c(head, $0.baseAddress, $0.count) }
    }
}
