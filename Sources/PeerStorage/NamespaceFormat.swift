// SPDX-License-Identifier: Apache-2.0

internal import CUring
internal import PeerMRCore
internal import SystemPackage

/// How an NVMe namespace is formatted: what stands in its Identify Namespace data structure.
///
/// See: NVM Express NVM Command Set Specification, section 4.1.5 (FLBAS, LBAF0 to LBAF63)
struct NamespaceFormat: Equatable {
    /// The size of that data structure.
    static let byteCount = 4096

    /// The bytes of a logical block, and of the metadata that goes with it: a command without a buffer for those would
    /// leave them undefined, or fail.
    let blockBytes: Int
    let metadataBytes: Int

    /// Reads the data structure; nil where it makes no sense.
    init?(parsing bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        let last = Int(bytes[25])
        // Bits 5 and 6 count only where there are more than 16 formats.
        let index = Int(bytes[26] & 0xf) | (last > 15 ? Int(bytes[26] & 0x60) >> 1 : 0)
        guard index <= last, last < 64 else { return nil }
        let entry = 128 + 4 * index
        let shift = Int(bytes[entry + 2])
        guard (9...31).contains(shift) else { return nil }
        blockBytes = 1 << shift
        metadataBytes = Int(bytes[entry]) | Int(bytes[entry + 1]) << 8
    }

    /// Asks the drive.
    ///
    /// - Throws: the errno of the ioctl, EIO for what the drive refuses or does not make sense.
    init(of namespace: UInt32, on file: borrowing OwnedDescriptor) throws(Errno) {
        var bytes = [UInt8](repeating: 0, count: Self.byteCount)
        let result = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe peermr_nvme_identify(file.rawValue, namespace, buffer.baseAddress)
        }
        guard result >= 0 else { throw Errno(rawValue: -result) }
        guard result == 0, let found = Self(parsing: bytes) else { throw .ioError }
        self = found
    }
}
