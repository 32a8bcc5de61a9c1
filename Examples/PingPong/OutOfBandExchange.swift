// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerTransfer

/// The other end, as the exchange of addresses has shown it.
struct Peer: ~Copyable {
    let socket: TCPSocket
    let own: AddressMessage
    let told: AddressMessage

    /// The TCP connection serves for more than addresses.
    var isExtended: Bool { told.mtu != nil }
}

/// A client that has told its address, and is not connected yet.
struct Caller: ~Copyable {
    let socket: TCPSocket
    /// The own address that suits it.
    let gid: GIDEntry?
    let told: AddressMessage

    consuming func intoSocket() -> TCPSocket { socket }
}

extension Endpoint {
    /// The payload of a full packet that this end would take: what was asked for, or what the memory needs.
    private func proposedMTU(_ path: PathArguments) throws(PeerMRError) -> PathMTU {
        let needed = region.keys.constraint.pathMTUBytes
        let mtu = path.pathMTU ?? PathMTU(exactlyBytes: needed) ?? .default
        try checkMTU(mtu, path)
        return mtu
    }

    private func checkMTU(_ mtu: PathMTU, _ path: PathArguments) throws(PeerMRError) {
        let own = try context.port(path.devicePort).mtuBytes
        guard own == 0 || mtu.bytes <= own else {
            throw PeerMRError(
                .invalidArgument,
                reason: "packets of \(mtu.bytes) bytes do not fit through \(context.device), whose MTU is \(own)",
                remedy:
                    "set the MTU of both network interfaces to \(mtu.bytes + 104) or more (ip link set IFNAME mtu), "
                    + "or take a smaller --mtu")
        }
    }

    /// As a client: tells the own address, learns the server's, and connects the queue pair to it.
    mutating func connectAsClient(
        _ socket: consuming TCPSocket, _ path: PathArguments, _ key: SharedKey?, milliseconds: Int32
    ) throws(PeerMRError) -> Peer {
        let gid = try context.chooseGID(
            path.gidIndex, port: path.devicePort, preferring: socket.localAddressBytes())
        let own = try address(gid, mtu: proposedMTU(path), path)
        try socket.send(own.encoded)
        let told = try learn(socket, own, key, milliseconds: milliseconds)
        try connect(own, to: told, gid, mtu: told.mtu ?? own.mtu ?? .default, path)
        try socket.send(AddressMessage.done)
        return Peer(socket: socket, own: own, told: told)
    }

    /// As a server: learns a client's address.
    func hear(
        _ socket: consuming TCPSocket, _ path: PathArguments, milliseconds: Int32
    ) throws(PeerMRError) -> Caller {
        let gid = try context.chooseGID(
            path.gidIndex, port: path.devicePort, preferring: socket.localAddressBytes())
        let told = try AddressMessage(
            decoding: socket.receive(AddressMessage.byteCount, milliseconds: milliseconds))
        return Caller(socket: socket, gid: gid, told: told)
    }

    /// As a server: connects the queue pair to a client, and tells it the own address.
    mutating func connectAsServer(
        _ caller: consuming Caller, _ path: PathArguments, milliseconds: Int32
    ) throws(PeerMRError) -> Peer {
        let (told, gid) = (caller.told, caller.gid)
        let socket = caller.intoSocket()
        // Of two ends that are this program, one may have memory that needs longer packets.
        let proposed = try proposedMTU(path)
        let mtu = told.mtu.map { $0.bytes > proposed.bytes ? $0 : proposed } ?? proposed
        let own = try address(gid, mtu: told.mtu == nil ? nil : mtu, path)
        try connect(own, to: told, gid, mtu: mtu, path)
        try socket.send(own.encoded)
        let done = try socket.receive(AddressMessage.done.count, milliseconds: milliseconds)
        guard !done.isEmpty else { throw .closedEarly("before it had this end's address") }
        return Peer(socket: socket, own: own, told: told)
    }

    private func address(
        _ gid: GIDEntry?, mtu: PathMTU?, _ path: PathArguments
    ) throws(PeerMRError) -> AddressMessage {
        AddressMessage(
            QueuePairEndpoint(
                localIdentifier: try context.port(path.devicePort).localIdentifier, number: queuePair.number,
                sequence: AddressMessage.drawSequence(), gid: gid?.gid),
            mtu: mtu)
    }

    private mutating func connect(
        _ own: AddressMessage, to told: AddressMessage, _ gid: GIDEntry?, mtu: PathMTU, _ path: PathArguments
    ) throws(PeerMRError) {
        try checkMTU(mtu, path)
        if told.endpoint.gid == nil, told.endpoint.localIdentifier == 0 {
            throw PeerMRError(
                .protocolViolation, reason: "the other end told neither a LID nor a GID",
                remedy: "give it a GID index: ping-pong --gid-index N, or ibv_rc_pingpong -g N")
        }
        try queuePair.connect(
            to: told.endpoint,
            over: PathAttributes(
                port: path.devicePort, gidIndex: gid?.index, mtu: mtu, serviceLevel: path.serviceLevel,
                sequence: own.endpoint.sequence))
        try queuePair.check(region.keys.constraint)
    }
}

extension PathMTU {
    /// What `ibv_rc_pingpong` takes when it is not told.
    static let `default` = PathMTU(rawValue: 3)
}
