// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR
import SystemPackage

/// Where received bytes go. A regular file takes its name only when all is there: until then what had that name stays.
final class OutputFile {
    private let descriptor: FileDescriptor
    private let path: String
    /// The name that the file has until it is whole; nil for a pipe or a device, which is written as it is.
    private let temporary: String?

    /// Opens the place to write to.
    ///
    /// - Throws: the errno of open(2), with a sentence.
    init(_ path: String) throws(PeerMRError) {
        var status = stat()
        let isThere = unsafe stat(path, &status) == 0
        let isSpecial = isThere && status.st_mode & S_IFMT != S_IFREG
        let name = isSpecial ? path : "\(path).nic-to-nvme.\(getpid())"
        do {
            descriptor = try FileDescriptor.open(
                FilePath(name), .writeOnly,
                options: isSpecial ? [.closeOnExec] : [.create, .exclusiveCreate, .closeOnExec],
                permissions: isThere
                    ? FilePermissions(rawValue: CModeT(status.st_mode & 0o777))
                    : [.ownerReadWrite, .groupRead, .otherRead])
        } catch {
            throw PeerMRError(
                .notPermitted, call: "open", errno: error as? Errno,
                reason: "\(path) cannot be written", remedy: "name a place that this user may write to")
        }
        self.path = path
        temporary = isSpecial ? nil : name
    }

    deinit {
        try? descriptor.close()
        // After keep() the name is gone, and this does nothing.
        if let temporary { _ = unsafe unlink(temporary) }
    }

    /// Appends bytes.
    func append(_ bytes: RawSpan) throws(PeerMRError) {
        do {
            _ = try unsafe bytes.withUnsafeBytes { try unsafe descriptor.writeAll($0) }
        } catch { throw .file((error as? Errno) ?? .ioError, "written") }
    }

    /// Gives the file its name: everything is there.
    func keep() throws(PeerMRError) {
        guard let temporary else { return }
        guard unsafe rename(temporary, path) == 0 else {
            throw PeerMRError(
                .system, call: "rename", errno: currentErrno(), reason: "\(path) cannot be put in place",
                remedy: "name a place that this user may write to")
        }
    }
}
