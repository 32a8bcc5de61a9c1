// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemPackage

/// A file to write to in the end, which is opened in the beginning: what takes minutes must not fail for its name.
///
/// One that was not there before, and that nothing was written to, is gone with this value.
package final class OutputTarget {
    private let file: OwnedDescriptor
    private let path: String
    private var isLeftover: Bool

    /// Opens a file, and makes it where there is none; what it holds stays until ``write(_:)``.
    ///
    /// - Throws: `notPermitted`, `notFound` and others, with the errno of open(2).
    package init(_ path: String) throws(PeerMRError) {
        self.path = path
        var descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        isLeftover = descriptor >= 0
        if descriptor < 0 { descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644) }
        guard descriptor >= 0 else { throw Self.failed("open", path) }
        file = OwnedDescriptor(adopting: descriptor)
    }

    deinit {
        if isLeftover { _ = unsafe unlink(path) }
    }

    /// The same; nil where no file is named.
    package convenience init?(ifNamed path: String?) throws(PeerMRError) {
        guard let path else { return nil }
        try self.init(path)
    }

    /// Puts a text in the place of what the file held.
    ///
    /// - Throws: `resourceLimit` (ENOSPC) and others, with the errno of write(2).
    package func write(_ text: String) throws(PeerMRError) {
        isLeftover = false
        // A pipe or a device has no length.
        _ = ftruncate(file.rawValue, 0)
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(file.rawValue, buffer.baseAddress, buffer.count)
            }
            guard count > 0 else { throw Self.failed("write", path) }
            bytes = bytes.dropFirst(count)
        }
    }

    private static func failed(_ call: String, _ path: String) -> PeerMRError {
        let errno = currentErrno()
        let shown = path.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? "?" : String($0) }.joined()
        let code: PeerMRError.Code =
            switch errno {
            case .noSuchFileOrDirectory: .notFound
            case .permissionDenied, .notPermitted, .readOnlyFileSystem: .notPermitted
            case .noSpace: .resourceLimit
            default: .system
            }
        return PeerMRError(
            code, call: call, errno: errno, reason: "\"\(shown)\" cannot be written",
            remedy: "name a file in a directory that exists and that you may write to")
    }
}
