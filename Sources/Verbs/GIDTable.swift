// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// An entry of a port's GID table that holds an address.
public struct GIDEntry: Hashable, Sendable {
    /// Its place in the table.
    public let index: Int
    /// The address.
    public let gid: GID
    /// Whether packets with it travel in UDP (RoCE v2), which is what most networks are set up for.
    public let isRoutable: Bool
}

extension Context {
    /// The entries of the port's GID table that hold an address.
    ///
    /// - Throws: the errno of the query. The corresponding C function is `ibv_query_gid_table`.
    public func gids(port: UInt8) throws(PeerMRError) -> [GIDEntry] {
        // A device has a table for each of its ports; the query is for all of them.
        let ports = Int(try attributes().portCount)
        let capacity = max(1, try self.port(port).gidCount * max(1, ports))
        var entries = [ibv_gid_entry](repeating: ibv_gid_entry(), count: capacity)
        let count = unsafe ibv_query_gid_table(raw, &entries, capacity, 0)
        guard count >= 0 else { throw .query("ibv_query_gid_table", Errno(rawValue: Int32(-count)), device) }
        return entries.prefix(Int(count)).filter { $0.port_num == port }.map { entry in
            GIDEntry(
                index: Int(entry.gid_index),
                gid: unsafe withUnsafeBytes(of: entry.gid) { GID(bytes: unsafe Array($0)) },
                isRoutable: entry.gid_type == IBV_GID_TYPE_ROCE_V2.rawValue)
        }
    }
}

extension GID {
    /// 16 bytes in network order; nil for any other number of them.
    public init?(networkOrder bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        self.init(bytes: Array(bytes))
    }

    /// Whether all bytes are 0: no address.
    public var isEmpty: Bool { bytes.allSatisfy { $0 == 0 } }

    /// Whether it stands for an IPv4 address: `::ffff:a.b.c.d`.
    public var isMappedIPv4: Bool {
        bytes.count == 16 && bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff
    }
}

extension GID: CustomStringConvertible {
    /// The address as IPv6 writes it, or as IPv4 where it stands for one.
    public var description: String {
        guard bytes.count == 16 else { return "?" }
        if isMappedIPv4 { return "::ffff:" + bytes[12...].map(String.init).joined(separator: ".") }
        let groups = stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
        var longest = 0..<0
        var index = 0
        while index < 8 {
            let end = groups[index...].firstIndex { $0 != 0 } ?? 8
            if end - index > max(1, longest.count) { longest = index..<end }
            index = max(end, index + 1)
        }
        let text = { (part: ArraySlice<UInt16>) in part.map { String($0, radix: 16) }.joined(separator: ":") }
        guard !longest.isEmpty else { return text(groups[...]) }
        return text(groups[..<longest.lowerBound]) + "::" + text(groups[longest.upperBound...])
    }
}

extension PathMTU {
    /// The code for a payload of that many bytes; nil for one that the specification does not have.
    public init?(exactlyBytes bytes: Int) {
        guard let code = (1...5).first(where: { PathMTU(rawValue: UInt32($0)).bytes == bytes }) else { return nil }
        self.init(rawValue: UInt32(code))
    }
}

extension Context {
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
