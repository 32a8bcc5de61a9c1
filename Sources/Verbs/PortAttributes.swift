// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// The state of a port.
public struct PortAttributes: Hashable, Sendable {
    /// Whether data can flow.
    public let isActive: Bool
    /// The largest packet payload that the port will use now, in bytes; 0 where unknown.
    public let mtuBytes: Int
    /// The entries of the GID table.
    public let gidCount: Int
    /// The LID on InfiniBand, 0 on Ethernet.
    public let localIdentifier: UInt16
    /// Whether the link is InfiniBand, where LIDs address; on Ethernet GIDs do.
    public let isInfiniBand: Bool
    /// Whether GIDs are needed besides LIDs on InfiniBand (IBV_QPF_GRH_REQUIRED), as for virtual functions that share
    /// the LID of their port.
    public let requiresGID: Bool

    /// Whether a path from this port is addressed by GIDs: on Ethernet always.
    public var isAddressedByGID: Bool { !isInfiniBand || requiresGID }
}

extension Context {
    /// The first port that is up; nil where none is.
    ///
    /// - Throws: the errno of the query. The corresponding C function is `ibv_query_port`.
    public func activePort() throws(PeerMRError) -> UInt8? {
        for number in 1...max(1, try attributes().portCount) where try port(number).isActive { return number }
        return nil
    }

    /// The longest message that a port sends or receives, in bytes.
    ///
    /// - Throws: EINVAL for a port that the device does not have. The corresponding C function is `ibv_query_port`.
    public func messageLimit(port number: UInt8) throws(PeerMRError) -> UInt64 {
        var attributes = ibv_port_attr()
        let result = unsafe peermr_query_port(raw, number, &attributes)
        guard result == 0 else { throw .query("ibv_query_port", Errno(rawValue: result), device) }
        return UInt64(attributes.max_msg_sz)
    }
}
