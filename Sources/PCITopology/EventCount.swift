// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemPackage
package import PeerMRCore

/// The kernel's count of what happened to its devices (`/sys/kernel/uevent_seqnum`), kept open: reading it again is
/// one system call.
package final class EventCount: Sendable {
    private let descriptor: Int32

    /// Opens it. A captured machine has none to keep open.
    package init(root: SystemRoot) {
        descriptor =
            root.isLive
            ? unsafe open(root.appending("sys/kernel/uevent_seqnum").string, O_RDONLY | O_CLOEXEC) : -1
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// The count now; nil where it cannot be read.
    package func now() -> UInt64? {
        guard descriptor >= 0 else { return nil }
        var digits: [24 of UInt8] = .init(repeating: 0)
        var span = digits.mutableSpan
        let count = unsafe span.withUnsafeMutableBytes { buffer in
            unsafe pread(descriptor, buffer.baseAddress, buffer.count, 0)
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
