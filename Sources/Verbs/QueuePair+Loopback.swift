// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// A queue pair connected to itself: what is posted on it leaves the device's send side and enters its own receive
/// side. The way to make a device read memory that it has just written, and to look at a region from its side.
extension QueuePair {
    /// Connects this queue pair to itself, over the port, address and path MTU of a connected one of the same device.
    ///
    /// - Parameters:
    ///   - other: a connected queue pair, whose path is taken; it stays as it is.
    ///   - access: what may be done to regions through it; they have to allow it, too.
    /// - Throws: the errno of the state change. The corresponding C function is `ibv_modify_qp`.
    public mutating func connectLoopback(
        like other: borrowing QueuePair, access: Access = [.localWrite, .remoteRead]
    ) throws(PeerMRError) {
        let path = try other.query(
            ibv_qp_attr_mask(
                rawValue: IBV_QP_AV.rawValue | IBV_QP_PORT.rawValue | IBV_QP_PATH_MTU.rawValue
                    | IBV_QP_PKEY_INDEX.rawValue))
        let port = path.ah_attr.port_num
        let state = try domain.context.port(port)
        try connectLoopback(
            SelfPath(
                port: port, keyIndex: path.pkey_index, mtu: path.path_mtu, localIdentifier: state.localIdentifier,
                gid: state.isAddressedByGID || path.ah_attr.is_global != 0
                    ? Int(path.ah_attr.grh.sgid_index) : nil),
            access: access)
    }

    /// Connects this queue pair to itself over a port, with the largest packets that the port has.
    ///
    /// On InfiniBand the port is addressed by its LID. On Ethernet, and where the port demands it (as a virtual
    /// function's may), it is by an entry of its GID table: on Ethernet that of an IPv4 address where there is one, of
    /// RoCE v2 before v1, because that needs no further set-up; else the first that is not empty.
    ///
    /// - Parameters:
    ///   - port: numbered from 1; nil for the first that is up.
    ///   - access: what may be done to regions through it; they have to allow it, too.
    /// - Throws: `notFound` where the port is down or has no address, or no port is up, else the errno of the state
    ///   change. The corresponding C function is `ibv_modify_qp`.
    public mutating func connectLoopback(port: UInt8? = nil, access: Access) throws(PeerMRError) {
        let context = domain.context
        let found = if let port { port } else { try context.activePort() }
        guard let port = found else { throw .allPortsDown(context.device) }
        let state = try context.port(port)
        guard state.isActive else { throw .portDown(port, context.device) }
        var gid: Int?
        if state.isAddressedByGID {
            guard let index = context.loopbackGID(port: port, state) else {
                throw .portWithoutAddress(port, context.device)
            }
            gid = index
        }
        try connectLoopback(
            SelfPath(
                port: port, keyIndex: 0, mtu: ibv_mtu(rawValue: PathMTU(bytes: state.mtuBytes).rawValue),
                localIdentifier: state.localIdentifier, gid: gid),
            access: access)
    }

    private mutating func connectLoopback(_ path: SelfPath, access: Access) throws(PeerMRError) {
        var ready = ibv_qp_attr()
        ready.qp_state = IBV_QPS_INIT
        ready.port_num = path.port
        ready.pkey_index = path.keyIndex
        ready.qp_access_flags = access.rawValue
        try modify(&ready, [IBV_QP_STATE, IBV_QP_PKEY_INDEX, IBV_QP_PORT, IBV_QP_ACCESS_FLAGS])
        ready.qp_state = IBV_QPS_RTR
        ready.path_mtu = path.mtu
        ready.dest_qp_num = unsafe raw.pointee.qp_num
        ready.max_dest_rd_atomic = 1
        ready.min_rnr_timer = 12
        ready.ah_attr.dlid = path.localIdentifier
        ready.ah_attr.port_num = path.port
        if let index = path.gid {
            var gid = ibv_gid()
            guard unsafe ibv_query_gid(raw.pointee.context, path.port, Int32(clamping: index), &gid) == 0 else {
                throw .queuePair("ibv_query_gid", currentErrno(), "connected to itself")
            }
            ready.ah_attr.is_global = 1
            ready.ah_attr.grh.dgid = gid
            ready.ah_attr.grh.sgid_index = UInt8(clamping: index)
            ready.ah_attr.grh.hop_limit = 64
        }
        try modify(
            &ready,
            [
                IBV_QP_STATE, IBV_QP_AV, IBV_QP_PATH_MTU, IBV_QP_DEST_QPN, IBV_QP_RQ_PSN,
                IBV_QP_MAX_DEST_RD_ATOMIC, IBV_QP_MIN_RNR_TIMER,
            ])
        ready.qp_state = IBV_QPS_RTS
        ready.timeout = 14
        ready.retry_cnt = Self.retryCount
        ready.rnr_retry = 7
        ready.max_rd_atomic = 1
        try modify(
            &ready,
            [
                IBV_QP_STATE, IBV_QP_TIMEOUT, IBV_QP_RETRY_CNT, IBV_QP_RNR_RETRY, IBV_QP_SQ_PSN,
                IBV_QP_MAX_QP_RD_ATOMIC,
            ])
    }

    private mutating func modify(
        _ attributes: inout ibv_qp_attr, _ mask: [ibv_qp_attr_mask]
    ) throws(PeerMRError) {
        let bits = mask.reduce(0) { $0 | $1.rawValue }
        let result = unsafe ibv_modify_qp(raw, &attributes, Int32(bits))
        guard result == 0 else { throw .queuePair("ibv_modify_qp", Errno(rawValue: result), "made ready") }
    }
}

/// How a queue pair reaches itself.
private struct SelfPath {
    let port: UInt8
    let keyIndex: UInt16
    let mtu: ibv_mtu
    let localIdentifier: UInt16
    /// The entry of the GID table; nil where the LID is enough.
    let gid: Int?
}

extension Context {
    /// The entry of a port's GID table by which it reaches itself; nil where all are empty.
    fileprivate func loopbackGID(port: UInt8, _ state: PortAttributes) -> Int? {
        // A kernel or library without the call for the whole table has the one for an entry, which tells no types.
        let entries = (try? gids(port: port)) ?? singleGIDs(port: port, count: state.gidCount)
        // Queue pairs take an index of 8 bits.
        let usable = entries.filter { !$0.gid.isEmpty && $0.index <= 255 }
        guard !state.isInfiniBand else { return usable.first?.index }
        let ofIPv4 = usable.filter(\.gid.isMappedIPv4)
        return (ofIPv4.first(where: \.isRoutable) ?? ofIPv4.first ?? usable.first)?.index
    }

    private func singleGIDs(port: UInt8, count: Int) -> [GIDEntry] {
        (0..<min(count, 256)).compactMap { index in
            // An entry that has just gone is no reason to give up.
            (try? gid(port: port, index: index)).map { GIDEntry(index: index, gid: $0, isRoutable: false) }
        }
    }
}

extension PathMTU {
    /// The code of the largest MTU that is no larger than so many bytes; that of 256 where there is none.
    fileprivate init(bytes: Int) {
        self.init(rawValue: UInt32(max(1, min(5, Int.bitWidth - bytes.leadingZeroBitCount - 8))))
    }
}
