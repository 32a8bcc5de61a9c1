// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import SystemPackage

/// Where `/sys` and `/proc` are: the running machine, or a captured tree of another one.
///
/// Everything that reads the system takes one of these, so that a captured machine can be judged anywhere.
public struct SystemRoot: Hashable, Sendable {
    /// The directory that holds `sys` and `proc`; `/` for the running machine.
    public let path: FilePath

    /// A root at a directory of your own.
    public init(_ path: FilePath) { self.path = path }

    /// The running machine.
    public static let live = SystemRoot("/")

    /// The path of a file below this root; `relative` does not begin with a slash.
    public func appending(_ relative: String) -> FilePath {
        path.appending(relative)
    }

    /// The text of a small attribute file without its last newline; nil where it is missing or unreadable.
    ///
    /// At most 64 KiB are read: sysfs attributes are a page, and a captured tree may hold anything.
    public func attribute(_ relative: String) -> String? {
        guard var bytes = contents(relative, limit: 65536) else { return nil }
        while let last = bytes.last, last == 10 || last == 13 || last == 32 { bytes.removeLast() }
        return String(validating: bytes, as: UTF8.self)
    }

    /// The first `limit` bytes of a file; nil where it is missing or unreadable.
    public func contents(_ relative: String, limit: Int) -> [UInt8]? {
        guard
            let file = try? FileDescriptor.open(appending(relative), .readOnly, options: .closeOnExec)
        else { return nil }
        defer { try? file.close() }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < limit {
            let wanted = min(chunk.count, limit - bytes.count)
            let count = unsafe chunk.withUnsafeMutableBytes { buffer in
                try? unsafe file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]))
            }
            guard let count else { return nil }
            if count == 0 { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        return bytes
    }

    /// The names in a directory, sorted; nil where it is missing or unreadable.
    public func entries(_ relative: String) -> [String]? {
        let name = appending(relative).string
        guard let directory = unsafe opendir(name) else { return nil }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                unsafe tuple.withMemoryRebound(to: CChar.self, capacity: 256) { characters in
                    unsafe String(cString: characters)
                }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Whether a file or directory exists (links are followed).
    public func exists(_ relative: String) -> Bool {
        unsafe access(appending(relative).string, F_OK) == 0
    }

    /// What a symbolic link points to; nil where it is no link.
    public func linkTarget(_ relative: String) -> FilePath? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = unsafe readlink(appending(relative).string, &buffer, buffer.count - 1)
        guard count > 0 else { return nil }
        let bytes = buffer[..<count].map { UInt8(bitPattern: $0) }
        return String(validating: bytes, as: UTF8.self).map { FilePath($0) }
    }

    /// The size that a file claims; nil where it is missing.
    public func fileSize(_ relative: String) -> Int? {
        var status = stat()
        guard unsafe stat(appending(relative).string, &status) == 0 else { return nil }
        return Int(status.st_size)
    }

    /// The canonical path, links resolved; nil where it does not exist.
    public func realPath(_ relative: String) -> FilePath? {
        guard let resolved = unsafe realpath(appending(relative).string, nil) else { return nil }
        defer { unsafe free(resolved) }
        return unsafe FilePath(String(cString: resolved))
    }
}
