// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR
import PeerMRCore
import PeerStorage
import PeerTransfer
import SystemPackage

/// Opens a file to send.
func openSource(_ path: String) throws(PeerMRError) -> FileDescriptor {
    do {
        return try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
    } catch {
        throw PeerMRError(
            .notFound, call: "open", errno: error as? Errno, reason: "\(path) cannot be opened",
            remedy: "name a file that this user may read")
    }
}

/// Takes a drive that bytes are written to for this program alone, after the checks that a server makes; nil for other
/// files. Hold it as long as something is written.
func claimDrive(
    _ path: String?, _ byteCount: UInt64, overwrite: Bool
) throws(PeerMRError) -> BlockDevice? {
    guard let path, blockNumber(of: FilePath(path)) != nil else { return nil }
    let drive = try BlockDevice(opening: FilePath(path), overwrite: overwrite)
    try checkRoom(on: drive, for: byteCount)
    return drive
}

func checkRoom(on drive: borrowing BlockDevice, for byteCount: UInt64) throws(PeerMRError) {
    guard byteCount <= drive.byteCount else {
        throw PeerMRError(
            .invalidArgument, reason: "\(drive.path) has \(drive.byteCount) bytes, and \(byteCount) are to be written",
            remedy: "take less, or a larger drive")
    }
}

/// A file's size; there must be something in it.
func size(of file: FileDescriptor, _ path: String) throws(PeerMRError) -> UInt64 {
    var status = stat()
    guard unsafe fstat(file.rawValue, &status) == 0 else { throw .file(currentErrno(), "read") }
    let kind = status.st_mode & S_IFMT
    guard kind == S_IFREG || kind == S_IFBLK, let end = try? file.seek(offset: 0, from: .end) else {
        throw PeerMRError(
            .invalidArgument,
            reason: kind == S_IFDIR ? "\(path) is a directory" : "\(path) is no file with a size",
            remedy: "name a regular file")
    }
    guard end > 0 else {
        throw PeerMRError(
            .invalidArgument, reason: "\(path) is empty", remedy: "name a file with something in it")
    }
    return UInt64(end)
}

/// Fills memory with a file's bytes from an offset on.
func fill(
    _ bytes: inout MutableRawSpan, from file: FileDescriptor, at offset: UInt64
) throws(PeerMRError) {
    var done = 0
    while done < bytes.byteCount {
        let count: Int
        do {
            count = try unsafe bytes.withUnsafeMutableBytes { buffer in
                try unsafe file.read(
                    fromAbsoluteOffset: Int64(offset) + Int64(done),
                    into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
            }
        } catch { throw .file((error as? Errno) ?? .ioError, "read") }
        guard count > 0 else {
            throw PeerMRError(
                .invalidArgument, reason: "the file became shorter while it was sent",
                remedy: "send it again when nobody writes to it")
        }
        done += count
    }
}

extension PeerMRError {
    static func file(_ errno: Errno, _ what: String) -> PeerMRError {
        PeerMRError(
            .system, errno: errno, reason: "the file cannot be \(what)",
            remedy: errno == .noSpace ? "make room for it" : "see the kernel log (dmesg) for what its drive says")
    }

    static func mismatch(_ expected: String?, _ found: String?) -> PeerMRError {
        PeerMRError(
            .dataMismatch,
            reason:
                "the bytes that came back are others than expected: sha256 \(found ?? "?") instead of "
                + "\(expected ?? "?")",
            remedy: "do not trust this path; compare with --memory host on the server")
    }
}
