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
