// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import SystemPackage

/// `sys` and `proc` below a directory, read by system calls.
struct DirectorySource: Hashable, Sendable {
    let path: FilePath

    private func appending(_ relative: String) -> FilePath { path.appending(relative) }

    private func opened(_ relative: String) -> FileDescriptor? {
        // A captured directory may hold anything: a pipe must not stop the reader.
        try? FileDescriptor.open(
            appending(relative), .readOnly, options: [.closeOnExec, .nonBlocking])
    }

    func contents(_ relative: String, limit: Int) -> [UInt8]? {
        guard let file = opened(relative) else { return nil }
        defer { try? file.close() }
        var bytes: [UInt8] = []
        // The kernel hands its own files out by the page; others come in larger pieces.
        let size = limit > 65_536 ? fileSize(relative) ?? 0 : 0
        bytes.reserveCapacity(min(size, limit))
        var chunk = [UInt8](repeating: 0, count: min(size > 65_536 ? 65_536 : 4096, limit))
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

    func parts<R>(of relative: String, _ body: ((Int, Int) -> [UInt8]) -> R) -> R? {
        guard let file = opened(relative) else { return nil }
        defer { try? file.close() }
        return body { offset, count in
            // Most of a large buffer stays unused: the kernel hands its own files out by the page.
            unsafe [UInt8](unsafeUninitializedCapacity: max(0, count)) { buffer, filled in
                let all = UnsafeMutableRawBufferPointer(buffer)
                filled = (unsafe try? file.read(fromAbsoluteOffset: Int64(offset), into: all)) ?? 0
            }
        }
    }

    func entries(_ relative: String) -> [String]? {
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

    func exists(_ relative: String) -> Bool {
        unsafe access(appending(relative).string, F_OK) == 0
    }

    func linkTarget(_ relative: String) -> FilePath? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = unsafe readlink(appending(relative).string, &buffer, buffer.count - 1)
        guard count > 0 else { return nil }
        let bytes = buffer[..<count].map { UInt8(bitPattern: $0) }
        return String(validating: bytes, as: UTF8.self).map { FilePath($0) }
    }

    func fileSize(_ relative: String) -> Int? {
        var status = stat()
        guard unsafe stat(appending(relative).string, &status) == 0 else { return nil }
        return Int(status.st_size)
    }

    func kernelNumber(_ relative: String) -> UInt64? {
        let inode = unsafe peermr_sysfs_inode(appending(relative).string)
        return inode == 0 ? nil : inode
    }

    func realPath(_ relative: String) -> FilePath? {
        guard let resolved = unsafe realpath(appending(relative).string, nil) else { return nil }
        defer { unsafe free(resolved) }
        return unsafe FilePath(String(cString: resolved))
    }
}
