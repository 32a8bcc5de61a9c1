// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR
import PeerMRCore

/// A TCP connection, for the bytes that two ends exchange before they use RDMA.
struct TCPSocket: ~Copyable {
    private let file: OwnedDescriptor
    /// The other end, for messages: the name that was asked for.
    let peer: String

    /// Readable when bytes have come, or the peer has closed.
    var descriptor: Int32 { file.rawValue }

    fileprivate init(adopting file: consuming OwnedDescriptor, peer: String) {
        self.file = file
        self.peer = peer
    }

    /// Connects to a host by name or address; tries each address that the name has.
    ///
    /// - Parameter milliseconds: the longest wait for each address.
    init(connectingTo host: String, port: UInt16, milliseconds: Int32) throws(PeerMRError) {
        var last = Errno.addressNotAvailable
        for address in try resolve(host, port: port) {
            let file = try address.open(host, port)
            // Linux takes the send timeout for connect(2) too, which then fails with EINPROGRESS.
            let seconds = Int(milliseconds / 1000)
            var timeout = timeval(tv_sec: seconds, tv_usec: Int(milliseconds % 1000) * 1000)
            let size = socklen_t(MemoryLayout<timeval>.size)
            _ = unsafe setsockopt(file.rawValue, SOL_SOCKET, SO_SNDTIMEO, &timeout, size)
            if unsafe address.call(file.rawValue, Glibc.connect) == 0 {
                self.init(adopting: file, peer: host)
                return
            }
            last = currentErrno()
        }
        throw .connect(last, host, port)
    }

    /// Sends all of the bytes.
    ///
    /// - Throws: `disconnected` (EPIPE, ECONNRESET) where the peer has closed, and (ETIMEDOUT) where it takes nothing
    ///   for ten seconds: what is sent here fits into an empty buffer of the kernel's.
    borrowing func send(_ bytes: [UInt8]) throws(PeerMRError) {
        var left = bytes[...]
        let deadline = monotonicNanoseconds() + 10_000_000_000
        while !left.isEmpty {
            let count = unsafe left.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            let error = currentErrno()
            if count > 0 {
                left = left.dropFirst(count)
                continue
            }
            guard error == .interrupted || error == .wouldBlock else { throw .lost("send", error, peer) }
            guard monotonicNanoseconds() < deadline else { throw .lost("send", .timedOut, peer) }
            var room = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            _ = unsafe poll(&room, 1, 100)
        }
    }

    /// Receives `count` bytes; fewer only if the peer closes the connection.
    ///
    /// - Parameter milliseconds: the longest wait for all of them together.
    /// - Throws: `disconnected` after that time (ETIMEDOUT), or if the connection broke.
    borrowing func receive(_ count: Int, milliseconds: Int32) throws(PeerMRError) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: count)
        let deadline = monotonicNanoseconds() + UInt64(max(0, milliseconds)) * 1_000_000
        while bytes.count < count {
            let got = unsafe recv(descriptor, &buffer, count - bytes.count, Int32(MSG_DONTWAIT))
            let error = currentErrno()
            if got > 0 { bytes += buffer.prefix(got) }
            if got == 0 || got < 0 && error == .connectionReset { break }
            if got > 0 || error == .interrupted { continue }
            guard error == .wouldBlock else { throw .lost("recv", error, peer) }
            let now = monotonicNanoseconds()
            guard now < deadline else { throw .lost("recv", .timedOut, peer) }
            let left = Int32(clamping: (deadline - now) / 1_000_000 + 1)
            do { _ = try waitReadable([descriptor], milliseconds: left) } catch {
                throw .lost("poll", error, peer)
            }
        }
        return bytes
    }

    /// The own address as a GID has it: 16 bytes, an IPv4 address as `::ffff:a.b.c.d`; nil where it is not known.
    borrowing func localAddressBytes() -> [UInt8]? { unsafe addressBytes(getsockname) }

    /// The other end's address in the same form, which it has answered from.
    borrowing func peerAddressBytes() -> [UInt8]? { unsafe addressBytes(getpeername) }

    private borrowing func addressBytes(
        _ call: (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> Int32
    ) -> [UInt8]? {
        var address = Address(family: 0, bytes: [UInt8](repeating: 0, count: MemoryLayout<sockaddr_storage>.size))
        var length = socklen_t(address.bytes.count)
        let result = unsafe address.bytes.withUnsafeMutableBytes {
            unsafe call(descriptor, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
        }
        guard result == 0 else { return nil }
        // struct sockaddr_in has the address at 4, sockaddr_in6 at 8 (man 7 ip, man 7 ipv6).
        if length == MemoryLayout<sockaddr_in6>.size { return Array(address.bytes[8..<24]) }
        return [UInt8](repeating: 0, count: 10) + [0xff, 0xff] + address.bytes[4..<8]
    }
}

/// A listening TCP port; takes one connection after the other.
struct TCPListener: ~Copyable {
    private let file: OwnedDescriptor

    /// Listens on all addresses, or on one.
    ///
    /// - Throws: `busy` (EADDRINUSE), `notPermitted` below port 1024, `notFound` for another host's address.
    init(port: UInt16, address host: String?) throws(PeerMRError) {
        guard let address = try resolve(host, port: port).first else { throw .listen(.addressNotAvailable, port, host) }
        let file = try address.open(host, port)
        var yes: Int32 = 1
        _ = unsafe setsockopt(file.rawValue, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        guard unsafe address.call(file.rawValue, bind) == 0, listen(file.rawValue, 8) == 0 else {
            throw .listen(currentErrno(), port, host)
        }
        self.file = file
    }

    /// Refuses clients that wait to be accepted, and later ones.
    borrowing func refuseOthers() { _ = shutdown(file.rawValue, Int32(SHUT_RDWR)) }

    /// Waits for a connection, without limit.
    borrowing func accept() throws(PeerMRError) -> TCPSocket {
        while true {
            let number = Glibc.accept(file.rawValue, nil, nil)
            if number >= 0 {
                _ = fcntl(number, F_SETFD, FD_CLOEXEC)
                return TCPSocket(adopting: OwnedDescriptor(adopting: number), peer: "the client")
            }
            let error = currentErrno()
            guard error == .interrupted || error == .connectionAbort else { throw .lost("accept", error, "a client") }
        }
    }
}

extension SocketAddress {
    /// The first address of a host, given by name or address.
    ///
    /// - Throws: `notFound` for a name that is not known. See getaddrinfo(3).
    init(resolving host: String, port: UInt16) throws(PeerMRError) {
        var text = [CChar](repeating: 0, count: 64)
        guard
            let result = try unsafe resolve(host, port: port).first?.call(
                0,
                { _, address, length in
                    unsafe getnameinfo(address, length, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
                }), result == 0,
            let address = SocketAddress(
                String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self), port: port)
        else { throw .resolve(host, "it has no address") }
        self = address
    }
}

/// A struct sockaddr.
private struct Address {
    let family: Int32
    var bytes: [UInt8]

    /// Hands the address to a C function.
    func call(_ descriptor: Int32, _ body: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32) -> Int32 {
        unsafe bytes.withUnsafeBytes {
            unsafe body(descriptor, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
    }

    /// A socket for it, close-on-exec.
    func open(_ host: String?, _ port: UInt16) throws(PeerMRError) -> OwnedDescriptor {
        let number = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw .listen(currentErrno(), port, host) }
        return OwnedDescriptor(adopting: number)
    }
}

/// The addresses of a host; of all interfaces where none is named. See getaddrinfo(3).
private func resolve(_ host: String?, port: UInt16) throws(PeerMRError) -> [Address] {
    var hints = unsafe addrinfo()
    unsafe hints.ai_flags = host == nil ? AI_PASSIVE | AI_NUMERICSERV : AI_NUMERICSERV
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let result = unsafe getaddrinfo(host, String(port), &hints, &list)
    guard result == 0 else { throw .resolve(host ?? "this host", unsafe String(cString: gai_strerror(result))) }
    defer { if let list = unsafe list { unsafe freeaddrinfo(list) } }
    var found: [Address] = []
    var entry = unsafe list
    while let address = unsafe entry {
        let bytes = unsafe UnsafeRawBufferPointer(
            start: address.pointee.ai_addr, count: Int(address.pointee.ai_addrlen))
        found.append(Address(family: unsafe address.pointee.ai_family, bytes: unsafe Array(bytes)))
        unsafe entry = unsafe address.pointee.ai_next
    }
    return found
}

extension PeerMRError {
    /// See: man 3 getaddrinfo
    fileprivate static func resolve(_ host: String, _ said: String) -> PeerMRError {
        PeerMRError(
            .notFound, call: "getaddrinfo", reason: "there is no host \(host): \(said)",
            remedy: "name a host that getent ahosts \(host) finds, or give its address")
    }

    /// See: man 2 connect
    fileprivate static func connect(_ errno: Errno, _ host: String, _ port: UInt16) -> PeerMRError {
        errno == .connectionRefused
            ? PeerMRError(
                .refused, call: "connect", errno: errno, reason: "nothing listens on port \(port) of \(host)",
                remedy: "start the server there first, with the same --port")
            : PeerMRError(
                .disconnected, call: "connect", errno: errno == .nowInProgress ? .timedOut : errno,
                reason: "port \(port) of \(host) does not answer",
                remedy: "see whether ping reaches it, and no firewall stands in between")
    }

    /// See: man 2 bind, listen
    fileprivate static func listen(_ errno: Errno, _ port: UInt16, _ address: String?) -> PeerMRError {
        let (code, reason, remedy): (Code, String, String) =
            switch errno {
            case .addressInUse:
                (
                    .busy, "port \(port) is taken",
                    "choose another with --port at both ends, or stop the program that listens there (ss -ltnp)"
                )
            case .permissionDenied:
                (.notPermitted, "this user may not listen on port \(port)", "choose a port above 1023")
            default:
                (
                    .notFound, "port \(port) of \(address ?? "this host") cannot be listened on",
                    "name an address that this host has (ip addr)"
                )
            }
        return PeerMRError(code, call: "bind", errno: errno, reason: reason, remedy: remedy)
    }

    /// See: man 2 send, recv, accept
    fileprivate static func lost(_ call: String, _ errno: Errno, _ peer: String) -> PeerMRError {
        let isLate = errno == .timedOut
        return PeerMRError(
            .disconnected, call: call, errno: errno,
            reason: isLate ? "\(peer) says nothing" : "the TCP connection to \(peer) broke",
            remedy: isLate
                ? "see whether it is a ping-pong program that listens there"
                : "see whether the program there still runs")
    }
}
