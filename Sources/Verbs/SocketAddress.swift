// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import Glibc

/// An IP address with a port.
public struct SocketAddress: Sendable {
    var storage = sockaddr_storage()

    /// Reads a numeric address, IPv4 or IPv6 (a zone as in `fe80::1%eth0` too); nil for anything else. No name is
    /// looked up.
    public init?(_ host: String, port: UInt16) {
        // getaddrinfo also takes "10.1" and reads "010" as octal: an address must not be guessed.
        var scratch = in_addr()
        guard unsafe host.contains(":") || inet_pton(AF_INET, host, &scratch) == 1 else { return nil }
        var hints = unsafe addrinfo()
        unsafe hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(host, String(port), &hints, &list) == 0, let found = unsafe list
        else { return nil }
        defer { unsafe freeaddrinfo(list) }
        guard let address = unsafe found.pointee.ai_addr else { return nil }
        unsafe self.init(address)
    }

    /// Copies a C address; nil for one that is not set, or of another family than IP.
    init?(_ address: UnsafePointer<sockaddr>) {
        let family = unsafe Int32(address.pointee.sa_family)
        guard family == AF_INET || family == AF_INET6 else { return nil }
        let bytes =
            family == AF_INET6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
        unsafe withUnsafeMutableBytes(of: &storage) { target in
            unsafe target.copyMemory(from: UnsafeRawBufferPointer(start: address, count: bytes))
        }
    }

    /// The bytes of the address without port or zone: 4 or 16.
    public var addressBytes: [UInt8] {
        let isIPv6 = Int32(storage.ss_family) == AF_INET6
        return unsafe withUnsafeBytes(of: storage) { bytes in
            // struct sockaddr_in has the address at 4, sockaddr_in6 at 8 (man 7 ip, man 7 ipv6).
            unsafe isIPv6 ? Array(bytes[8..<24]) : Array(bytes[4..<8])
        }
    }

    /// Whether it stands for all addresses of the host: `0.0.0.0` or `::`.
    public var isWildcard: Bool { addressBytes.allSatisfy { $0 == 0 } }

    /// The port.
    public var port: UInt16 {
        unsafe withUnsafeBytes(of: storage) { bytes in
            unsafe UInt16(bytes[2]) << 8 | UInt16(bytes[3])
        }
    }

    /// The address without the port, as text.
    public var host: String {
        var text = [CChar](repeating: 0, count: 64)
        var copy = storage
        let length = socklen_t(
            Int32(storage.ss_family) == AF_INET6
                ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
        let result = unsafe withUnsafePointer(to: &copy) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe getnameinfo(
                    address, length, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            }
        }
        guard result == 0 else { return "?" }
        return String(
            decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Hands the address to a C function.
    func withCAddress<R>(_ body: (UnsafeMutablePointer<sockaddr>) -> R) -> R {
        var copy = storage
        return unsafe withUnsafeMutablePointer(to: &copy) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe body(address)
            }
        }
    }
}

extension SocketAddress: CustomStringConvertible {
    /// The address as people write it.
    public var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}
