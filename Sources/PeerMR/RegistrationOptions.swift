// SPDX-License-Identifier: Apache-2.0

public import Verbs

/// What can be set for a registration besides memory and access.
public struct RegistrationOptions: Sendable {
    /// The I/O address by which the device is to know the first byte; nil for the address of a mapping, or the offset
    /// in a dma-buf that has none. Only for dma-bufs; it must be congruent to the offset modulo the page size.
    public var ioAddress: UInt64?
    /// Hints for the device's writes; nil for none. They exclude on-demand paging.
    public var handle: DMAHandle?

    /// Options of your own.
    public init(ioAddress: UInt64? = nil, handle: DMAHandle? = nil) {
        self.ioAddress = ioAddress
        self.handle = handle
    }
}
