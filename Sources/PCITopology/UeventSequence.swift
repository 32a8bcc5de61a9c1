// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemPackage
package import PeerMRCore

/// The kernel's count of device events (`/sys/kernel/uevent_seqnum`): it grows whenever a device is added, removed,
/// bound to a driver or unbound.
///
/// No descriptor is kept: a program that closes all that it did not open itself, as daemons do (closefrom(3)), would
/// hand the number to another file.
package struct UeventSequence: Sendable {
    /// How long a count may be used before it is read again: the kernel's coarse clock ticks no more often.
    package static let intervalNanoseconds: UInt64 = 1_000_000

    private static let file = "sys/kernel/uevent_seqnum"
    private let root: SystemRoot
    private let path: String

    /// The count of a machine.
    package init(root: SystemRoot) {
        self.root = root
        path = root.appending(Self.file).string
    }

    /// The count now; nil where it cannot be read.
    package func now() -> UInt64? {
        guard root.isLive else { return root.attribute(Self.file).flatMap { UInt64($0) } }
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var digits: [24 of UInt8] = .init(repeating: 0)
        var span = digits.mutableSpan
        let count = unsafe span.withUnsafeMutableBytes { buffer in
            unsafe read(descriptor, buffer.baseAddress, buffer.count)
        }
        guard count > 0 else { return nil }
        var value: UInt64 = 0
        for index in 0..<min(count, 20) {
            guard (0x30...0x39).contains(span[index]) else { break }
            value = value &* 10 &+ UInt64(span[index] - 0x30)
        }
        return value
    }
}
