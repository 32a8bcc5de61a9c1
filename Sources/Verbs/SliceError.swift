// SPDX-License-Identifier: Apache-2.0

/// Why a part of a region cannot be addressed. One byte: it is thrown on the data path.
public enum SliceError: UInt8, Error, Hashable, Sendable {
    /// It does not lie inside the region, or is longer than one work request can be (4 GiB - 1).
    case outOfBounds
    /// The region's ``TransferConstraint`` does not admit the address.
    case misaligned
    /// The memory has no address in this process: it is a dma-buf.
    case noAddress
    /// It lies in more than one chunk of memory that is registered in chunks, each of which has keys of its own.
    case acrossChunks
}
