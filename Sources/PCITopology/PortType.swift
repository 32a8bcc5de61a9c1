// SPDX-License-Identifier: Apache-2.0

/// The kind of a PCI Express port, bits 7 to 4 of its capabilities register.
public struct PortType: RawRepresentable, Hashable, Sendable {
    /// The port type as PCI Express numbers it.
    public let rawValue: UInt8
    /// Wraps the number of a port type.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// A PCI Express device that is no port.
    public static let endpoint = PortType(rawValue: 0)
    /// A function of conventional PCI, which has no such register: 255, which no port can be.
    public static let conventional = PortType(rawValue: 0xff)
    /// A port of the root complex.
    public static let rootPort = PortType(rawValue: 4)
    /// The port of a switch that leads up.
    public static let upstream = PortType(rawValue: 5)
    /// A port of a switch that leads down.
    public static let downstream = PortType(rawValue: 6)
}
