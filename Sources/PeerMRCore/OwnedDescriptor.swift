// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import SystemPackage

/// A file descriptor with one owner, closed when this value is destroyed.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The descriptor, valid as long as this value lives. Do not close it.
    public let rawValue: Int32

    /// Takes ownership of an open descriptor.
    public init(adopting rawValue: Int32) { self.rawValue = rawValue }

    deinit {
        _ = Glibc.close(rawValue)
    }

    /// Opens a file, close-on-exec always.
    ///
    /// - Throws: the errno of open(2).
    public init(opening path: FilePath, flags: Int32) throws(Errno) {
        let descriptor = unsafe path.withPlatformString { name in
            unsafe Glibc.open(name, flags | O_CLOEXEC)
        }
        guard descriptor >= 0 else { throw currentErrno() }
        self.init(adopting: descriptor)
    }

    /// Makes reads return EAGAIN instead of waiting.
    ///
    /// - Throws: the errno of fcntl(2).
    public static func setNonBlocking(_ descriptor: Int32) throws(Errno) {
        let flags = fcntl(descriptor, F_GETFL)
        guard flags >= 0 else { throw currentErrno() }
        guard fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) >= 0 else { throw currentErrno() }
    }
}
