// SPDX-License-Identifier: Apache-2.0

internal import CArchive
internal import PeerMRCore

/// The bytes of a file after decompression, counted.
///
/// libarchive expands headers in memory before its caller sees an entry. Decompressing apart from reading the archive
/// bounds both: all bytes, and those of one header.
@safe final class DecompressedStream {
    private let archive: OpaquePointer
    private let name: String
    private var limit = ArchiveLimits.bytes
    private let isCompressed: Bool
    private var total = 0
    /// What was decompressed and not handed out yet.
    private var pending = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    private static let partBytes = 1 << 14
    /// The bytes that may still be read for the present header; nil between headers.
    private var headerBudget: Int?
    /// Why reading ended before the end of the file.
    private(set) var failure: PeerMRError?
    /// The first bytes, by which files that are no archives are told apart.
    private(set) var beginning: [UInt8] = []

    /// Opens what a descriptor reads. The descriptor stays the caller's.
    init(descriptor: Int32, name: String) throws(PeerMRError) {
        guard let archive = unsafe archive_read_new() else { throw .archiveMemory(name) }
        unsafe self.archive = archive
        self.name = name
        unsafe Self.supportFilters(of: archive)
        unsafe archive_read_support_format_raw(archive)
        unsafe archive_read_support_format_empty(archive)
        var entry: OpaquePointer?
        var status = unsafe archive_read_open_fd(archive, descriptor, 1 << 16)
        if status == ARCHIVE_OK { status = unsafe archive_read_next_header(archive, &entry) }
        if status == ARCHIVE_EOF { throw .notAnArchive(name, "it is empty") }
        isCompressed = unsafe archive_filter_count(archive) > 1
        guard status == ARCHIVE_OK else {
            let reason = unsafe Self.reason(archive)
            throw isCompressed ? .damagedArchive(name, reason) : .notAnArchive(name, reason)
        }
        // Beside the compressor itself the list has the file.
        guard unsafe archive_filter_count(archive) <= 2 else { throw .compressedTwice(name) }
        limit = unsafe ArchiveLimits.bytes(filter: archive_filter_code(archive, 0))
    }

    deinit { unsafe archive_read_free(archive) }

    /// Bounds what is read until ``endHeader()``.
    func beginHeader() { headerBudget = ArchiveLimits.headerBytes }
    func endHeader() { headerBudget = nil }

    /// The next bytes, which last until the next call; none at the end, nil where there is a ``failure``.
    func next() -> UnsafeRawBufferPointer? {
        if unsafe pending.isEmpty, !decompress() { return nil }
        let part = unsafe UnsafeRawBufferPointer(rebasing: pending.prefix(Self.partBytes))
        unsafe pending = UnsafeRawBufferPointer(rebasing: pending.dropFirst(part.count))
        total += part.count
        if let budget = headerBudget { headerBudget = budget - part.count }
        if total > limit { failure = .archiveTooLarge(name, limit) }
        if isCompressed, unsafe archive_filter_bytes(archive, -1) > ArchiveLimits.compressedBytes {
            failure = .archiveTooLarge(name, ArchiveLimits.compressedBytes)
        }
        if let headerBudget, headerBudget < 0 {
            failure = .archiveEntry(name, "an entry's header is longer than 128 KiB")
        }
        return failure == nil ? unsafe part : nil
    }

    private func decompress() -> Bool {
        guard failure == nil else { return false }
        var block: UnsafeRawPointer?
        var count = 0
        var offset: Int64 = 0
        switch unsafe archive_read_data_block(archive, &block, &count, &offset) {
        case ARCHIVE_EOF: unsafe pending = UnsafeRawBufferPointer(start: nil, count: 0)
        case ARCHIVE_OK, ARCHIVE_WARN: unsafe pending = UnsafeRawBufferPointer(start: block, count: count)
        default:
            failure = unsafe .damagedArchive(name, Self.reason(archive))
            return false
        }
        if beginning.isEmpty { unsafe beginning = Array(pending.prefix(16)) }
        return true
    }

    /// Reads the rest, so that the compressor's own checksum is looked at.
    func drain() throws(PeerMRError) {
        while let bytes = unsafe next(), unsafe !bytes.isEmpty {}
        if let failure { throw failure }
    }

    /// Compressors that work within this process: libarchive starts programs for those that it was built without.
    private static func supportFilters(of archive: OpaquePointer) {
        guard let probe = unsafe archive_read_new() else { return }
        defer { unsafe archive_read_free(probe) }
        let filters: [@convention(c) (OpaquePointer?) -> Int32] = unsafe [
            archive_read_support_filter_gzip, archive_read_support_filter_bzip2, archive_read_support_filter_compress,
            archive_read_support_filter_lz4, archive_read_support_filter_lzip, archive_read_support_filter_lzma,
            archive_read_support_filter_xz, archive_read_support_filter_zstd,
        ]
        unsafe filters.forEach { filter in
            if unsafe filter(probe) == ARCHIVE_OK { _ = unsafe filter(archive) }
        }
    }

    static func reason(_ archive: OpaquePointer) -> String {
        guard let text = unsafe archive_error_string(archive) else { return "it cannot be read" }
        return unsafe String(cString: text)
    }
}
