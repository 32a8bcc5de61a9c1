// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// A connection of the RDMA connection manager, or a listener, or one that is about to be.
@safe
public final class Connection: @unchecked Sendable {
    /// Tells connections apart; plain, and valid to compare after the connection is gone.
    public struct Identity: Hashable, Sendable {
        private let number: UInt
        init(_ id: UnsafeMutablePointer<rdma_cm_id>?) { number = UInt(bitPattern: id) }
    }

    let id: UnsafeMutablePointer<rdma_cm_id>
    private let channel: EventChannel

    /// Makes an endpoint that is bound to nothing yet.
    ///
    /// - Throws: ENODEV without the module rdma_ucm. The corresponding C function is `rdma_create_id`.
    public init(_ channel: EventChannel) throws(PeerMRError) {
        var id: UnsafeMutablePointer<rdma_cm_id>?
        guard unsafe rdma_create_id(channel.raw, &id, nil, RDMA_PS_TCP) == 0, let id = unsafe id
        else { throw .connectionManager(currentErrno()) }
        unsafe self.id = id
        self.channel = channel
    }

    /// Takes ownership of the endpoint of a connection request.
    init(adopting id: UnsafeMutablePointer<rdma_cm_id>, channel: EventChannel) {
        unsafe self.id = id
        self.channel = channel
    }

    deinit {
        _ = unsafe rdma_destroy_id(id)
    }

    /// Which connection an event is about.
    public var identity: Identity { unsafe Identity(id) }

    /// The device that it is bound to; nil before it is bound.
    ///
    /// The connection manager keeps the device open as long as the process lives (see rdma_get_devices(3)).
    public var context: Context? {
        guard let verbs = unsafe id.pointee.verbs else { return nil }
        return unsafe Context(raw: verbs, owned: false)
    }

    /// The device's port that it is bound to, numbered from 1; 0 before it is bound.
    public var portNumber: UInt8 { unsafe id.pointee.port_num }

    /// The peer's address; nil before there is one.
    public var peerAddress: SocketAddress? {
        unsafe rdma_get_peer_addr(id).flatMap { unsafe SocketAddress($0) }
    }

    /// The own address; nil before there is one.
    public var localAddress: SocketAddress? {
        unsafe rdma_get_local_addr(id).flatMap { unsafe SocketAddress($0) }
    }

    /// How long the device waits for an answer before it tries again: 4.096 µs times 2 to the power of `exponent`.
    ///
    /// Call it before connecting or accepting. With ``QueuePair/retryCount`` more tries a peer is found lost after
    /// about seven times that. An old kernel that lacks the option keeps its own time. The corresponding C function is
    /// `rdma_set_option`.
    public func setAcknowledgeTimeout(exponent: UInt8) {
        var value = min(exponent, 31)
        _ = unsafe rdma_set_option(
            id, Int32(RDMA_OPTION_ID), Int32(RDMA_OPTION_ID_ACK_TIMEOUT), &value, 1)
    }
}

// MARK: - The passive side

extension Connection {
    /// Binds to an address of an RDMA device, or to a wildcard for those of all, and listens.
    ///
    /// - Throws: `notFound` when no RDMA device has that address, `busy` when the port is taken.
    ///   The corresponding C functions are `rdma_bind_addr` and `rdma_listen`.
    public func listen(on address: SocketAddress, backlog: Int32 = 8) throws(PeerMRError) {
        guard unsafe address.withCAddress({ unsafe rdma_bind_addr(id, $0) }) == 0 else {
            throw .bind(currentErrno(), address)
        }
        guard context != nil || address.isWildcard else { throw .bind(.noSuchAddressOrDevice, address) }
        guard unsafe rdma_listen(id, backlog) == 0 else { throw .bind(currentErrno(), address) }
    }

    /// Accepts a connection request; ``ConnectionEvent/Kind/established`` follows.
    ///
    /// - Parameters:
    ///   - privateData: at most 196 bytes for the peer.
    ///   - outstandingReads: how many RDMA READs each side may have under way.
    /// - Throws: the errno of the call. The corresponding C function is `rdma_accept`.
    public func accept(
        privateData: [UInt8], outstandingReads: UInt8 = 1
    ) throws(PeerMRError) {
        let result = unsafe withParameters(privateData, reads: outstandingReads) {
            unsafe rdma_accept(id, $0)
        }
        guard result == 0 else { throw .connection("rdma_accept", currentErrno(), "be accepted") }
    }

    /// Says no to a connection request.
    ///
    /// - Parameter privateData: at most 148 bytes that tell the peer why.
    ///   The corresponding C function is `rdma_reject`.
    public func reject(privateData: [UInt8]) {
        _ = unsafe privateData.withUnsafeBytes { bytes in
            unsafe rdma_reject(id, bytes.baseAddress, UInt8(clamping: min(bytes.count, 148)))
        }
    }
}

// MARK: - The active side

extension Connection {
    /// Finds the device and the route to a peer; waits for both.
    ///
    /// - Parameters:
    ///   - peer: the address to reach.
    ///   - source: the own address to use; nil to let the routing table choose.
    ///   - milliseconds: the longest wait for each of the two.
    ///   - stop: a descriptor that ends the wait when it becomes readable; negative for none. Not closed.
    /// - Throws: `notFound` when no RDMA device leads there, `disconnected` when nothing answers.
    ///   The corresponding C functions are `rdma_resolve_addr` and `rdma_resolve_route`.
    public func resolve(
        _ peer: SocketAddress, from source: SocketAddress? = nil, within milliseconds: Int32 = 5000, stop: Int32 = -1
    ) throws(PeerMRError) {
        let result = unsafe peer.withCAddress { target in
            guard let source else { return unsafe rdma_resolve_addr(id, nil, target, milliseconds) }
            return unsafe source.withCAddress {
                unsafe rdma_resolve_addr(id, $0, target, milliseconds)
            }
        }
        guard result == 0 else { throw .route(currentErrno(), peer) }
        try wait(for: .addressResolved, peer, milliseconds, stop)
        guard unsafe rdma_resolve_route(id, milliseconds) == 0 else {
            throw .route(currentErrno(), peer)
        }
        try wait(for: .routeResolved, peer, milliseconds, stop)
    }

    private func wait(
        for kind: ConnectionEvent.Kind, _ peer: SocketAddress, _ milliseconds: Int32, _ stop: Int32
    ) throws(PeerMRError) {
        guard let event = try channel.next(within: milliseconds + 1000, stop: stop) else {
            throw .route(.timedOut, peer)
        }
        guard event.kind == kind else { throw .route(Errno(rawValue: -event.status), peer) }
    }

    /// Asks the peer for a connection; ``ConnectionEvent/Kind/established`` or a refusal follows.
    ///
    /// - Parameters:
    ///   - privateData: at most 56 bytes for the peer.
    ///   - outstandingReads: RDMA READs that either side may have outstanding.
    /// - Throws: the errno of the call. The corresponding C function is `rdma_connect`.
    public func connect(
        privateData: [UInt8], outstandingReads: UInt8 = 1
    ) throws(PeerMRError) {
        let result = unsafe withParameters(privateData, reads: outstandingReads) {
            unsafe rdma_connect(id, $0)
        }
        guard result == 0 else { throw .connection("rdma_connect", currentErrno(), "be made") }
    }

    /// Ends the connection: everything still posted completes as flushed.
    ///
    /// The corresponding C function is `rdma_disconnect`.
    public func disconnect() {
        _ = unsafe rdma_disconnect(id)
    }

    private func withParameters(
        _ privateData: [UInt8], reads: UInt8, _ body: (UnsafeMutablePointer<rdma_conn_param>) -> Int32
    ) -> Int32 {
        unsafe privateData.withUnsafeBytes { bytes in
            var parameters = unsafe rdma_conn_param()
            unsafe parameters.private_data = bytes.baseAddress
            unsafe parameters.private_data_len = UInt8(clamping: bytes.count)
            unsafe parameters.responder_resources = reads
            unsafe parameters.initiator_depth = reads
            unsafe parameters.retry_count = QueuePair.retryCount
            unsafe parameters.rnr_retry_count = 7
            return unsafe body(&parameters)
        }
    }
}
