// SPDX-License-Identifier: Apache-2.0

internal import CArchive
internal import Glibc
internal import PeerMRCore

/// The entries of a tar archive, one after the other.
@safe final class TarReader {
    /// What an entry is.
    enum Kind { case directory, file, link(String), other(String) }

    /// An entry, before its content is read.
    struct Entry {
        let path: String
        let kind: Kind
        /// The size that the archive claims for the content, in bytes.
        let byteCount: Int
        /// The size that the captured file claimed; nil where the archive does not tell.
        let claimedBytes: Int?
    }

    private let archive: OpaquePointer
    private let stream: DecompressedStream
    private let name: String
    private var isInEntry = false

    init(_ stream: DecompressedStream, name: String) throws(PeerMRError) {
        guard let archive = unsafe archive_read_new() else { throw .archiveMemory(name) }
        unsafe self.archive = archive
        self.stream = stream
        self.name = name
        unsafe archive_read_support_format_tar(archive)
        let state = unsafe Unmanaged.passUnretained(stream).toOpaque()
        stream.beginHeader()
        let status = unsafe archive_read_open(
            archive, state, nil,
            { _, state, block in
                guard let state = unsafe state, let block = unsafe block else { return -1 }
                let stream = unsafe Unmanaged<DecompressedStream>.fromOpaque(state).takeUnretainedValue()
                guard let bytes = unsafe stream.next() else { return -1 }
                unsafe block.pointee = bytes.baseAddress
                return bytes.count
            }, nil)
        guard status == ARCHIVE_OK else { throw failure() }
    }

    deinit { unsafe archive_read_free(archive) }

    /// The next entry; nil behind the last one.
    func next() throws(PeerMRError) -> Entry? {
        stream.endHeader()
        // What is left of the entry before is no header.
        if isInEntry, unsafe archive_read_data_skip(archive) < ARCHIVE_WARN { throw failure() }
        stream.beginHeader()
        defer { stream.endHeader() }
        var entry: OpaquePointer?
        switch unsafe archive_read_next_header(archive, &entry) {
        case ARCHIVE_OK, ARCHIVE_WARN: break
        case ARCHIVE_EOF:
            if let failure = stream.failure { throw failure }
            return nil
        default: throw failure()
        }
        guard stream.failure == nil, let entry = unsafe entry else { throw failure() }
        isInEntry = true
        guard let text = unsafe archive_entry_pathname(entry), let path = unsafe String(validatingCString: text) else {
            throw .archiveEntry(name, "an entry has no name that is text")
        }
        return unsafe Entry(
            path: path, kind: try kind(of: entry), byteCount: Int(archive_entry_size(entry)),
            claimedBytes: CapturedSize.read(entry))
    }

    private func kind(of entry: OpaquePointer) throws(PeerMRError) -> Kind {
        if unsafe archive_entry_hardlink(entry) != nil { return .other("a hard link") }
        switch unsafe archive_entry_filetype(entry) {
        case Glibc.S_IFDIR: return .directory
        case Glibc.S_IFREG: return .file
        case Glibc.S_IFLNK:
            guard let text = unsafe archive_entry_symlink(entry), let target = unsafe String(validatingCString: text)
            else { throw .archiveEntry(name, "a link's target is not text") }
            return .link(target)
        case Glibc.S_IFBLK, Glibc.S_IFCHR: return .other("a device node")
        default: return .other("neither a file nor a directory nor a link")
        }
    }

    /// The content of the present entry, whole.
    ///
    /// - Parameter limit: where there is more, the entry is refused.
    func content(limit: Int) throws(PeerMRError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { part in
                unsafe archive_read_data(archive, part.baseAddress, part.count)
            }
            guard count >= 0, stream.failure == nil else { throw failure() }
            if count == 0 { return bytes }
            guard bytes.count + count <= limit else { throw .archiveEntry(name, "a file is longer than it claims") }
            bytes += chunk[..<count]
        }
    }

    private func failure() -> PeerMRError {
        if let failure = stream.failure { return failure }
        let reason = unsafe DecompressedStream.reason(archive)
        return isInEntry ? .damagedArchive(name, reason) : .notAnArchive(name, reason)
    }
}
