// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
package import PeerMRCore
internal import SystemPackage

/// A file to write, opened before the work begins: what takes minutes must not fail for its name in the end.
///
/// A regular file takes its name only in ``keep()``, when its bytes are on stable storage: whatever ends the program
/// before, what had the name stays, whole. Until then the bytes have no name, or where the file system needs one, one
/// beside it that is removed with this object. Links lead to their target, also where nothing is there yet. A pipe, a
/// device, and a file in a directory that this user may not write to are written in place.
package final class OutputFile {
    private let file: OwnedDescriptor
    private let shownPath: String
    /// Where links lead.
    private let path: String
    private var temporary: Temporary?
    private var isEmpty = true

    /// Opens a place to write to.
    ///
    /// - Throws: `notPermitted`, `notFound` and others, with the errno of open(2).
    package init(_ path: String) throws(PeerMRError) {
        shownPath = path
        self.path = try Self.resolved(path)
        var status = stat()
        let exists = unsafe stat(self.path, &status) == 0
        if !exists || status.st_mode & S_IFMT == S_IFREG {
            if let (descriptor, made) = Temporary.make(beside: self.path) {
                temporary = made
                file = OwnedDescriptor(adopting: descriptor)
                // The new file has the rights of the old one.
                if exists { _ = fchmod(descriptor, status.st_mode & 0o7777) }
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
        temporary?.remove()
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

    /// Gives the file its name: it is complete. Both are on stable storage when this returns.
    ///
    /// - Throws: the errno of fsync(2), where a full disk may show first, or of rename(2).
    package func keep() throws(PeerMRError) {
        try synchronize(file.rawValue)
        guard let temporary else { return }
        do { try temporary.rename(file.rawValue, to: path) } catch { throw Self.failed("rename", shownPath, error) }
        self.temporary = nil
        let folder = unsafe open(Self.folder(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { if folder >= 0 { _ = close(folder) } }
        // A directory that this user may not read is reached by way of its file system.
        if folder >= 0 { try synchronize(folder) } else { _ = peermr_sync_file_system(file.rawValue) }
    }

    /// Pipes, most devices and some file systems' directories have nothing to synchronize (EINVAL).
    private func synchronize(_ descriptor: Int32) throws(PeerMRError) {
        while fsync(descriptor) != 0 {
            let errno = currentErrno()
            if errno == .interrupted { continue }
            if errno == .invalidArgument || errno == .readOnlyFileSystem || errno == .notSupported { return }
            throw Self.failed("fsync", shownPath, errno)
        }
    }

    /// Writes a whole text, and keeps the file.
    ///
    /// - Throws: as ``append(_:)`` and ``keep()``.
    package func write(_ text: String) throws(PeerMRError) {
        try unsafe append(Array(text.utf8).span.bytes)
        try keep()
    }

    /// Where links lead, whether there is something or not.
    private static func resolved(_ path: String) throws(PeerMRError) -> String {
        var place = path
        // As many as the kernel follows (path_resolution(7)).
        for _ in 0..<40 {
            guard let target = link(at: place) else { return place }
            place = target.hasPrefix("/") ? target : folder(of: place) + "/" + target
        }
        throw failed("open", path, .tooManySymbolicLinkLevels)
    }

    private static func link(at path: String) -> String? {
        var bytes = [CChar](repeating: 0, count: 4097)
        let count = unsafe readlink(path, &bytes, bytes.count - 1)
        guard count > 0 else { return nil }
        return String(decoding: bytes.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    fileprivate static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func failed(_ call: String, _ path: String, _ errno: Errno = currentErrno()) -> PeerMRError {
        .lostOutput(call, errno, path.quoted)
    }
}

/// A file that has not got its name yet.
private struct Temporary {
    /// The name that it has instead; nil for none, as O_TMPFILE makes them.
    let name: String?

    /// Makes one in the directory of a path; nil and errno where that cannot be.
    static func make(beside path: String) -> (Int32, Temporary)? {
        let unnamed = unsafe open(OutputFile.folder(of: path), O_WRONLY | peermr_o_tmpfile() | O_CLOEXEC, 0o644)
        if unnamed >= 0 { return (unnamed, Temporary(name: nil)) }
        // Not all file systems have files without a name: 9p, NFS and overlayfs in older kernels do not.
        for _ in 0..<100 {
            let name = drawn(path)
            let descriptor = unsafe open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
            if descriptor >= 0 { return (descriptor, Temporary(name: name)) }
            // One that a killed program left behind is in nobody's way.
            guard currentErrno() == .fileExists else { return nil }
        }
        return nil
    }

    private static func drawn(_ path: String) -> String { "\(path).\(UInt64.random(in: 0 ... .max))" }

    /// Gives the file its name, in place of what has it.
    func rename(_ file: Int32, to path: String) throws(Errno) {
        let name = if let known = self.name { known } else { try Self.named(file, beside: path) }
        guard unsafe Glibc.rename(name, path) == 0 else {
            let errno = currentErrno()
            _ = unsafe unlink(name)
            throw errno
        }
    }

    /// A file without a name gets one, because rename(2) needs it.
    private static func named(_ file: Int32, beside path: String) throws(Errno) -> String {
        for _ in 0..<100 {
            let name = drawn(path)
            if unsafe linkat(AT_FDCWD, "/proc/self/fd/\(file)", AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0 { return name }
            let errno = currentErrno()
            guard errno == .fileExists else { throw errno }
        }
        throw .fileExists
    }

    func remove() {
        if let name { _ = unsafe unlink(name) }
    }
}
