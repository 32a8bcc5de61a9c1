// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemPackage

/// A TCP connection, for the few bytes that two programs exchange before they talk RDMA.
public struct StreamSocket: ~Copyable, Sendable {
    private let file: OwnedDescriptor
    /// Who the other end is, for messages: an address, or the name that was asked for.
    public let peer: String

    /// The descriptor; readable when bytes have come, or the peer has closed.
    public var descriptor: Int32 { file.rawValue }

    /// Connects to a host by name or address; tries each address that the name has.
    ///
    /// - Parameters:
    ///   - host: a name, or an address in numbers.
    ///   - port: the TCP port.
    ///   - milliseconds: the longest wait for each address.
    /// - Throws: `notFound` for a name that is not known; `refused` (ECONNREFUSED) where nothing listens;
    ///   `disconnected` where nothing answers. See connect(2), getaddrinfo(3).
    public init(connectingTo host: String, port: UInt16, milliseconds: Int32) throws(PeerMRError) {
        let list = try AddressList(host, port: port)
        var last = Errno.addressNotAvailable
        var entry = unsafe list.first
        while let address = unsafe entry {
            do {
                file = try unsafe Self.connect(address, milliseconds)
                peer = host
                return
            } catch { last = error }
            unsafe entry = unsafe address.pointee.ai_next
        }
        throw .connectSocket(last, host, port)
    }

    fileprivate init(adopting file: consuming OwnedDescriptor, peer: String) {
        self.file = file
        self.peer = peer
    }

    private static func connect(
        _ address: UnsafePointer<addrinfo>, _ milliseconds: Int32
    ) throws(Errno) -> OwnedDescriptor {
        let number = unsafe socket(
            address.pointee.ai_family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw currentErrno() }
        let file = OwnedDescriptor(adopting: number)
        try OwnedDescriptor.setNonBlocking(number)
        if unsafe Glibc.connect(number, address.pointee.ai_addr, address.pointee.ai_addrlen) != 0 {
            guard Glibc.errno == EINPROGRESS else { throw currentErrno() }
            var entry = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
            let count = unsafe poll(&entry, 1, milliseconds)
            guard count >= 0 else { throw currentErrno() }
            guard count > 0 else { throw .timedOut }
            var error: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            guard unsafe getsockopt(number, SOL_SOCKET, SO_ERROR, &error, &length) == 0 else { throw currentErrno() }
            guard error == 0 else { throw Errno(rawValue: error) }
        }
        return file
    }

    /// Sends all of the bytes.
    ///
    /// - Throws: `disconnected` (EPIPE, ECONNRESET) where the peer has closed.
    public borrowing func send(_ bytes: [UInt8]) throws(PeerMRError) {
        var left = bytes[...]
        while !left.isEmpty {
            let count = unsafe left.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                left = left.dropFirst(count)
                continue
            }
            let error = currentErrno()
            guard error == .interrupted || error == .wouldBlock else { throw .lostSocket("send", error, peer) }
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            _ = unsafe poll(&entry, 1, 1000)
        }
    }

    /// Receives bytes until there are `count`, the peer closes, or the time is over.
    ///
    /// - Parameters:
    ///   - count: how many.
    ///   - milliseconds: the longest wait for all of them; negative for ever.
    /// - Returns: fewer than `count` bytes only where the peer closed before.
    /// - Throws: `disconnected` after the time (ETIMEDOUT), or where the connection broke.
    public borrowing func receive(_ count: Int, milliseconds: Int32) throws(PeerMRError) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: count)
        let deadline = monotonicNanoseconds() + UInt64(max(0, milliseconds)) * 1_000_000
        while bytes.count < count {
            let got = unsafe recv(descriptor, &buffer, count - bytes.count, 0)
            if got > 0 {
                bytes += buffer.prefix(got)
                continue
            }
            if got == 0 { break }
            let error = currentErrno()
            if error == .connectionReset { break }
            guard error == .interrupted || error == .wouldBlock else { throw .lostSocket("recv", error, peer) }
            let now = monotonicNanoseconds()
            guard milliseconds < 0 || now < deadline else { throw .lostSocket("recv", .timedOut, peer) }
            let left = milliseconds < 0 ? -1 : Int32(clamping: (deadline - now) / 1_000_000 + 1)
            do { _ = try waitReadable([descriptor, -1, -1, -1], milliseconds: left) } catch {
                throw .lostSocket("poll", error, peer)
            }
        }
        return bytes
    }

    /// The own address as a GID writes it: 16 bytes, an IPv4 address as `::ffff:a.b.c.d`; nil where it is not known.
    public borrowing func localAddressBytes() -> [UInt8]? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(descriptor, $0, &length)
            }
        }
        guard result == 0 else { return nil }
        return unsafe withUnsafeBytes(of: storage) { bytes in
            // struct sockaddr_in has the address at 4, sockaddr_in6 at 8 (man 7 ip, man 7 ipv6).
            switch Int32(storage.ss_family) {
            case AF_INET: [UInt8](repeating: 0, count: 10) + [0xff, 0xff] + (unsafe Array(bytes[4..<8]))
            case AF_INET6: unsafe Array(bytes[8..<24])
            default: nil
            }
        }
    }
}

/// A TCP port that is listened on, for one connection after the other.
public struct StreamListener: ~Copyable, Sendable {
    private let file: OwnedDescriptor

    /// The descriptor; readable when a connection can be accepted.
    public var descriptor: Int32 { file.rawValue }

    /// Listens on all addresses, or on one.
    ///
    /// - Throws: `busy` (EADDRINUSE), `notPermitted` below port 1024, `notFound` for another's address.
    public init(port: UInt16, address: String? = nil) throws(PeerMRError) {
        let list = try AddressList(address, port: port)
        guard let first = unsafe list.first else { throw .listenSocket(.addressNotAvailable, port, address) }
        let number = unsafe socket(
            first.pointee.ai_family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw .listenSocket(currentErrno(), port, address) }
        let file = OwnedDescriptor(adopting: number)
        var yes: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        _ = unsafe setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &yes, size)
        guard unsafe bind(number, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0, listen(number, 8) == 0
        else { throw .listenSocket(currentErrno(), port, address) }
        self.file = file
    }

    /// Turns away who waits to be accepted, and who comes after.
    public borrowing func refuseOthers() { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Waits for a connection, for ever.
    ///
    /// - Throws: EMFILE and what else accept(2) says.
    public borrowing func accept() throws(PeerMRError) -> StreamSocket {
        while true {
            let number = Glibc.accept(descriptor, nil, nil)
            guard number >= 0 else {
                let error = currentErrno()
                if error == .interrupted || error == .connectionAbort { continue }
                throw .lostSocket("accept", error, "a client")
            }
            let file = OwnedDescriptor(adopting: number)
            do throws(Errno) {
                try OwnedDescriptor.setNonBlocking(number)
            } catch { throw .lostSocket("fcntl", error, "a client") }
            _ = fcntl(number, F_SETFD, FD_CLOEXEC)
            return StreamSocket(adopting: file, peer: "the client")
        }
    }
}

/// What getaddrinfo(3) found, freed with this value.
@safe private struct AddressList: ~Copyable {
    let first: UnsafeMutablePointer<addrinfo>?

    /// - Parameter host: nil for all addresses of this host.
    init(_ host: String?, port: UInt16) throws(PeerMRError) {
        var hints = unsafe addrinfo()
        unsafe hints.ai_flags = host == nil ? AI_PASSIVE | AI_NUMERICSERV : AI_NUMERICSERV
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let result =
            if let host { unsafe getaddrinfo(host, String(port), &hints, &list) } else {
                unsafe getaddrinfo(nil, String(port), &hints, &list)
            }
        guard result == 0 else { throw .resolveHost(host ?? "this host", unsafe String(cString: gai_strerror(result))) }
        unsafe first = list
    }

    deinit {
        if let first = unsafe first { unsafe freeaddrinfo(first) }
    }
}

/// The first address of a host, as text: for calls that take no names.
///
/// - Throws: `notFound` for a name that is not known. See getaddrinfo(3).
public func numericAddress(of host: String) throws(PeerMRError) -> String {
    let list = try AddressList(host, port: 0)
    var text = [CChar](repeating: 0, count: 64)
    guard let first = unsafe list.first,
        unsafe getnameinfo(
            first.pointee.ai_addr, first.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0
    else { throw .resolveHost(host, "it has no address") }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
