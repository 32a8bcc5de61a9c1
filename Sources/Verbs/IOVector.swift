// SPDX-License-Identifier: Apache-2.0

/// A range of this process's memory, as a system call takes it. Numbers only: keep the memory alive while a device uses
/// them. The corresponding C type is `struct iovec`.
public struct IOVector: BitwiseCopyable, Hashable, Sendable {
    /// The address of the first byte in this process.
    public let address: UInt
    /// The length in bytes.
    public let byteCount: Int

    package init(address: UInt, byteCount: Int) {
        self.address = address
        self.byteCount = byteCount
    }
}
