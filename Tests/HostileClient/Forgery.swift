// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR

/// A connection request that no connection manager would send: a datagram of RoCE v2, built byte by byte.
///
/// Any program can send such a one, to the UDP port that the server's device listens on. Two fields say where it comes
/// from: the address in its private data, which the connection manager of the server's host takes for the peer's
/// (struct cma_hdr), and the GID that answers are to go to (struct cm_req_msg).
struct Forgery {
    let server: SocketAddress
    /// What the private data says: the address that the server's program is told.
    let claim: [UInt8]
    /// Where answers are to go.
    let path: [UInt8]
    let hello: [UInt8]

    /// The source of the datagram, which must be this host's for rxe not to be the first to refuse it.
    let source: [UInt8]

    func send() {
        let datagram = packet()
        let descriptor = socket(AF_INET, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_RAW))
        guard descriptor >= 0 else { HostileClient.stop("no raw socket: errno \(errno)") }
        defer { close(descriptor) }
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        unsafe withUnsafeMutableBytes(of: &target.sin_addr) { unsafe $0.copyBytes(from: server.addressBytes) }
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let sent = unsafe datagram.withUnsafeBytes { bytes in
            unsafe withUnsafePointer(to: &target) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe sendto(descriptor, bytes.baseAddress, bytes.count, 0, $0, size)
                }
            }
        }
        guard sent == datagram.count else { HostileClient.stop("nothing was sent: errno \(errno)") }
        tell("sent")
    }

    /// IPv4, UDP, the base transport header, the datagram header, the request, and the checksum over what does not
    /// change on the way (InfiniBand specification, 9.2 and 12.6.5; annex A17).
    private func packet() -> [UInt8] {
        let transport: [UInt8] =
            [0x64, 0x40, 0xff, 0xff] + number(1, 4) + number(0, 4)  // UD SEND to queue pair 1
            + number(0x8001_0000, 4) + number(1, 4)
        let payload = transport + request()
        let byteCount = UInt64(28 + payload.count + 4)
        let internet: [UInt8] =
            [0x45, 0] + number(byteCount, 2) + number(1, 2) + number(0x4000, 2) + [64, 17, 0, 0] + source
            + server.addressBytes
        let user = number(0xc123, 2) + number(4791, 2) + number(byteCount - 20, 2) + number(0, 2)
        var masked = [UInt8](repeating: 0xff, count: 8) + internet + user + payload
        for place in [9, 16, 18, 19, 34, 35, 40] { masked[place] = 0xff }
        let checksum = crc32(masked)
        return internet + user + payload + number(UInt64(checksum), 4).reversed()
    }

    private func request() -> [UInt8] {
        let header: [UInt8] =
            [1, 7, 2, 3] + number(0, 4) + number(UInt64.random(in: 1 ... .max), 8) + number(0x10, 2) + number(0, 6)
        let service = UInt64(0x106_0000) | UInt64(server.port)
        let ends: [UInt8] =
            number(UInt64.random(in: 1...0xffff_ffff), 4) + number(0, 4) + number(service, 8) + number(0x1122, 8)
            + number(0, 4) + number(0, 4)
        let pair: [UInt8] =
            number(0x20 << 8 | 1, 4) + number(1, 4) + number(20 << 3, 4) + number(20 << 3 | 7, 4)
            + number(0xffff, 2) + [5 << 4 | 7, 15 << 4]
        let route: [UInt8] =
            number(0xffff_ffff, 4) + mapped(path) + mapped(server.addressBytes) + number(0, 4) + [0, 64, 0, 18 << 3]
        let private_: [UInt8] =
            [0, 0x40] + number(0x1234, 2) + number(0, 12) + claim + number(0, 12) + server.addressBytes
        let data = private_ + hello
        return header + ends + pair + route + number(0, 44) + data + number(0, 92 - data.count)
    }

    private func mapped(_ address: [UInt8]) -> [UInt8] { number(0xffff, 12) + address }

    /// An integer of so many bytes, the highest first.
    private func number(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).reversed().map { $0 < 8 ? UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) : 0 }
    }

    private func crc32(_ bytes: [UInt8]) -> UInt32 {
        var value: UInt32 = .max
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 0 ? value >> 1 : value >> 1 ^ 0xedb8_8320 }
        }
        return ~value
    }
}
