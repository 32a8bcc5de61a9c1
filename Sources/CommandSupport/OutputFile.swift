// SPDX-License-Identifier: Apache-2.0

internal import Glibc
package import PeerMRCore
internal import SystemPackage

/// A file to write, opened before the work begins: what takes minutes must not fail for its name in the end.
///
/// A regular file takes its name only in ``keep()``. Until then the bytes have a temporary name beside it, which is
/// removed with this object, and what had the name stays. A pipe, a device, and a file in a directory that this user
/// may not write to are written in place.
package final class OutputFile {
    private let file: OwnedDescriptor
    private let shownPath: String
    /// Where links lead.
    private let path: String
    private var temporary: String?
    private var isEmpty = true

    /// Opens a place to write to.
    ///
    /// - Throws: `notPermitted`, `notFound` and others, with the errno of open(2).
    package init(_ path: String) throws(PeerMRError) {
        shownPath = path
        self.path = Self.resolved(path)
        var status = stat()
        let exists = unsafe stat(self.path, &status) == 0
        if !exists || status.st_mode & S_IFMT == S_IFREG {
            let name = "\(self.path).\(UInt64.random(in: 0 ... .max))"
            let mode = exists ? status.st_mode & 0o777 : 0o644
            let descriptor = unsafe open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
            if descriptor >= 0 {
                temporary = name
                file = OwnedDescriptor(adopting: descriptor)
                return
            }
            guard exists else { throw Self.failed("open", path) }
        }
        let descriptor = unsafe open(self.path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failed("open", path) }
        file = OwnedDescriptor(adopting: descriptor)
    }

    /// The same; nil where no file is named.
    package convenience init?(ifNamed path: String?) throws(PeerMRError) {
        guard let path else { return nil }
        try self.init(path)
    }

    deinit {
        if let temporary { _ = unsafe unlink(temporary) }
    }

    /// What is written to: for what writes by itself, from the beginning of an empty file.
    package var descriptor: Int32 {
        clear()
        return file.rawValue
    }

    /// What is written in place keeps its contents until now; a pipe or a device has no length.
    private func clear() {
        if isEmpty, temporary == nil { _ = ftruncate(file.rawValue, 0) }
        isEmpty = false
    }

    /// Appends bytes.
    ///
    /// - Throws: `resourceLimit` (ENOSPC) and others, with the errno of write(2).
    package func append(_ bytes: RawSpan) throws(PeerMRError) {
        clear()
        do {
            _ = try unsafe bytes.withUnsafeBytes { buffer in
                try unsafe FileDescriptor(rawValue: file.rawValue).writeAll(buffer)
            }
        } catch { throw Self.failed("write", shownPath, (error as? Errno) ?? .ioError) }
    }

    /// Gives the file its name: it is complete.
    ///
    /// - Throws: the errno of rename(2).
    package func keep() throws(PeerMRError) {
        guard let name = temporary else { return }
        guard unsafe rename(name, path) == 0 else { throw Self.failed("rename", shownPath) }
        temporary = nil
    }

    /// Writes a whole text, and keeps the file.
    ///
    /// - Throws: as ``append(_:)`` and ``keep()``.
    package func write(_ text: String) throws(PeerMRError) {
        try unsafe append(Array(text.utf8).span.bytes)
        try keep()
    }

    private static func resolved(_ path: String) -> String {
        guard let real = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(unsafe real) }
        return unsafe String(cString: real)
    }

    private static func failed(_ call: String, _ path: String, _ errno: Errno = currentErrno()) -> PeerMRError {
        .lostOutput(call, errno, path.quoted)
    }
}
