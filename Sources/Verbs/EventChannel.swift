// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// Where the connection manager reports: connections that ask, come about, or end.
@safe
public final class EventChannel: @unchecked Sendable {
    let raw: UnsafeMutablePointer<rdma_event_channel>

    /// Opens a channel.
    ///
    /// - Throws: ENODEV without the module rdma_ucm, EACCES without rights on `/dev/infiniband/rdma_cm`.
    ///   The corresponding C function is `rdma_create_event_channel`.
    public init() throws(PeerMRError) {
        guard let raw = unsafe rdma_create_event_channel() else {
            throw .connectionManager(currentErrno())
        }
        unsafe self.raw = raw
        do {
            try OwnedDescriptor.setNonBlocking(unsafe raw.pointee.fd)
        } catch {
            throw .connectionManager(error)
        }
    }

    deinit {
        unsafe rdma_destroy_event_channel(raw)
    }

    /// The descriptor to wait on.
    public var descriptor: Int32 { unsafe raw.pointee.fd }

    /// Takes one event, copied and acknowledged; never waits.
    ///
    /// - Returns: nil where there is none.
    /// - Throws: the errno of the read. The corresponding C functions are `rdma_get_cm_event` and `rdma_ack_cm_event`.
    public func next() throws(PeerMRError) -> ConnectionEvent? {
        var event: UnsafeMutablePointer<rdma_cm_event>?
        guard unsafe rdma_get_cm_event(raw, &event) == 0, let event = unsafe event else {
            let errno = currentErrno()
            if errno == .wouldBlock || errno == .resourceTemporarilyUnavailable
                || errno == .interrupted
            {
                return nil
            }
            throw .connectionManager(errno)
        }
        let copy = unsafe ConnectionEvent(event.pointee, channel: self)
        _ = unsafe rdma_ack_cm_event(event)
        return copy
    }

    /// Waits for an event.
    ///
    /// - Parameters:
    ///   - milliseconds: the longest wait.
    ///   - stop: a descriptor that ends the wait when it becomes readable; negative for none. Not closed.
    /// - Returns: nil after the time-out, or when told to stop.
    public func next(within milliseconds: Int32, stop: Int32 = -1) throws(PeerMRError) -> ConnectionEvent? {
        let deadline = monotonicNanoseconds() + UInt64(max(0, milliseconds)) * 1_000_000
        while true {
            if let event = try next() { return event }
            let now = monotonicNanoseconds()
            guard now < deadline else { return nil }
            let left = Int32(clamping: (deadline - now) / 1_000_000 + 1)
            do {
                let ready = try waitReadable([descriptor, stop], milliseconds: left)
                if ready & 2 != 0 { return nil }
            } catch {
                throw .connectionManager(error)
            }
        }
    }
}

/// What the connection manager reported.
public struct ConnectionEvent: Sendable {
    /// What has happened. The corresponding C type is `enum rdma_cm_event_type`.
    public struct Kind: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        /// The value of `enum rdma_cm_event_type`.
        public let rawValue: UInt32
        /// Wraps a value of `enum rdma_cm_event_type`.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// A device leads to the peer.
        public static let addressResolved = Kind(rawValue: 0)
        /// No device leads to the peer.
        public static let addressError = Kind(rawValue: 1)
        /// The route to the peer is known.
        public static let routeResolved = Kind(rawValue: 2)
        /// There is no route to the peer.
        public static let routeError = Kind(rawValue: 3)
        /// A peer asks for a connection.
        public static let connectRequest = Kind(rawValue: 4)
        /// A connection could not be made.
        public static let connectError = Kind(rawValue: 6)
        /// The peer does not answer.
        public static let unreachable = Kind(rawValue: 7)
        /// The peer said no.
        public static let rejected = Kind(rawValue: 8)
        /// The connection stands.
        public static let established = Kind(rawValue: 9)
        /// The connection has ended.
        public static let disconnected = Kind(rawValue: 10)
        /// The device is about to go.
        public static let deviceRemoval = Kind(rawValue: 11)
        /// The address has moved to another device.
        public static let addressChange = Kind(rawValue: 14)
        /// The queue pair may be used again.
        public static let timeWaitExit = Kind(rawValue: 15)

        /// The name in C.
        public var description: String {
            guard rawValue <= 15,
                let text = unsafe rdma_event_str(rdma_cm_event_type(rawValue: rawValue))
            else { return "connection event \(rawValue)" }
            return unsafe String(cString: text)
        }
    }

    /// What has happened.
    public let kind: Kind
    /// A negative errno, or for ``Kind/rejected`` the reason code of the specification.
    public let status: Int32
    /// Which connection it is about: compare with ``Connection/identity``.
    public let identity: Connection.Identity
    /// The connection that asks, for ``Kind/connectRequest``: accept or reject it; destroying it rejects it.
    public let request: Connection?
    /// What the peer sent along, padded with zeros; empty where there is none.
    public let privateData: [UInt8]

    init(_ event: rdma_cm_event, channel: EventChannel) {
        kind = Kind(rawValue: unsafe event.event.rawValue)
        status = unsafe event.status
        identity = unsafe Connection.Identity(event.id)
        request =
            kind == .connectRequest
            ? unsafe Connection(adopting: event.id, channel: channel) : nil
        let carriers: [Kind] = [.connectRequest, .established, .rejected]
        guard carriers.contains(kind) else {
            privateData = []
            return
        }
        let parameters = unsafe event.param.conn
        guard let start = unsafe parameters.private_data else {
            privateData = []
            return
        }
        privateData = unsafe Array(
            UnsafeRawBufferPointer(start: start, count: Int(parameters.private_data_len)))
    }
}
