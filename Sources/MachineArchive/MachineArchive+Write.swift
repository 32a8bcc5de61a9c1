// SPDX-License-Identifier: Apache-2.0

internal import CArchive
internal import Glibc
public import PeerMRCore
public import SystemPackage

extension MachineArchive {
    /// Writes a tree as an archive. The same tree makes the same bytes: no times and no owners are in it.
    ///
    /// - Returns: how many entries and bytes the archive has.
    /// - Throws: `system` where the file cannot be written, with the errno of open(2) where that failed;
    ///   `resourceLimit` where the archive would be too large to be read.
    @discardableResult
    public static func write(
        _ tree: CapturedTree, to path: FilePath, compression: Compression
    ) throws(PeerMRError) -> (entries: Int, bytes: Int) {
        let flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC
        let descriptor = unsafe path.withPlatformString { unsafe open($0, flags, 0o644) }
        guard descriptor >= 0 else { throw .writeArchive(path.string, "open", currentErrno()) }
        let file = OwnedDescriptor(adopting: descriptor)
        return try write(tree, descriptor: file.rawValue, name: path.string, compression: compression)
    }

    /// Writes a tree as an archive to a descriptor, which stays the caller's.
    ///
    /// - Parameter name: what errors call it.
    /// - Throws: as ``write(_:to:compression:)``, apart from opening.
    package static func write(
        _ tree: CapturedTree, descriptor: Int32, name: String, compression: Compression
    ) throws(PeerMRError) -> (entries: Int, bytes: Int) {
        let writer = try TarWriter(descriptor: descriptor, name: name, compression: compression)
        try writer.add(.file(bytes: Array(Seal.text(for: tree).utf8), claimedBytes: 0), at: Seal.path)
        try tree.forEach { path, content, isEmpty throws(PeerMRError) in
            if content != .directory || isEmpty { try writer.add(content, at: path) }
        }
        return try writer.finish()
    }
}

/// Writes the entries of a tar archive.
@safe private final class TarWriter {
    private let archive: OpaquePointer
    private let name: String
    private let compression: Compression
    private var entries = 0

    init(descriptor: Int32, name: String, compression: Compression) throws(PeerMRError) {
        guard let archive = unsafe archive_write_new() else { throw .writeArchive(name) }
        unsafe self.archive = archive
        self.name = name
        self.compression = compression
        unsafe archive_write_set_format_pax_restricted(archive)
        // Names are bytes, whatever the locale is.
        unsafe archive_write_set_options(archive, "hdrcharset=BINARY")
        unsafe archive_write_set_bytes_in_last_block(archive, 1)
        guard unsafe archive_write_add_filter(archive, compression.filter) == ARCHIVE_OK else { throw failure() }
        // The time would be in the compressed file.
        if compression == .gzip { unsafe archive_write_set_filter_option(archive, "gzip", "timestamp", nil) }
        guard unsafe archive_write_open_fd(archive, descriptor) == ARCHIVE_OK else { throw failure() }
    }

    deinit { unsafe archive_write_free(archive) }

    func add(_ content: CapturedTree.Content, at path: String) throws(PeerMRError) {
        guard let entry = unsafe archive_entry_new() else { throw failure() }
        defer { unsafe archive_entry_free(entry) }
        unsafe archive_entry_set_pathname(entry, path)
        unsafe archive_entry_set_mtime(entry, 0, 0)
        var content: [UInt8] = try unsafe describe(content, entry)
        guard unsafe archive_write_header(archive, entry) == ARCHIVE_OK,
            unsafe archive_write_data(archive, &content, content.count) == content.count
        else { throw failure() }
        entries += 1
    }

    /// Sets what an entry is.
    ///
    /// - Returns: its bytes.
    private func describe(_ content: CapturedTree.Content, _ entry: OpaquePointer) throws(PeerMRError) -> [UInt8] {
        switch content {
        case .directory:
            unsafe archive_entry_set_filetype(entry, Glibc.S_IFDIR)
            unsafe archive_entry_set_perm(entry, 0o755)
            return []
        case .link(let target):
            unsafe archive_entry_set_filetype(entry, Glibc.S_IFLNK)
            unsafe archive_entry_set_perm(entry, 0o777)
            unsafe archive_entry_set_symlink(entry, target)
            return []
        case .file(let bytes, let claimed):
            unsafe archive_entry_set_filetype(entry, Glibc.S_IFREG)
            unsafe archive_entry_set_perm(entry, 0o644)
            unsafe archive_entry_set_size(entry, Int64(bytes.count))
            if claimed > bytes.count { unsafe CapturedSize.write(claimed, to: entry) }
            return bytes
        }
    }

    func finish() throws(PeerMRError) -> (entries: Int, bytes: Int) {
        guard unsafe archive_write_close(archive) == ARCHIVE_OK else { throw failure() }
        let limit = ArchiveLimits.bytes(filter: compression.filter)
        guard unsafe archive_filter_bytes(archive, 0) <= limit else {
            throw .archiveTooLarge(name, limit)
        }
        return unsafe (entries, Int(archive_filter_bytes(archive, -1)))
    }

    private func failure() -> PeerMRError {
        // libarchive keeps the errno of write(2); its own numbers are others.
        let errno = unsafe Errno(rawValue: archive_errno(archive))
        return [.noSpace, Errno(rawValue: EDQUOT), .fileTooLarge, .ioError, .brokenPipe].contains(errno)
            ? .writeArchive(name, "write", errno)
            : unsafe .writeArchive(name, detail: DecompressedStream.reason(archive))
    }
}
