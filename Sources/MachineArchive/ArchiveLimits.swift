// SPDX-License-Identifier: Apache-2.0

internal import CArchive

/// What an archive may ask of its reader. Whatever an archive claims, reading it takes less than 64 MiB of memory in
/// all, and less than a second.
enum ArchiveLimits {
    /// The most bytes after decompression: some 6,500 PCI functions as `peermr snapshot` writes them.
    static let bytes = 64 << 20
    /// The same for compressors whose window grows with the data, so that the window counts as memory too.
    static let windowedBytes = 16 << 20
    /// The most bytes before decompression. bzip2 takes a second for 10 MiB that do not shrink.
    static let compressedBytes = 4 << 20
    /// The most entries.
    static let entries = 131_072
    /// The most bytes that an entry's name, link, attributes and map of holes may take in the archive.
    static let headerBytes = 128 << 10
    /// The largest file that is kept; larger ones are not there for the reader.
    static let fileBytes = 4 << 20
    /// The most that is kept, in bytes: contents, names, and ``nodeBytes`` for each entry.
    static let keptBytes = 20 << 20
    /// What an entry takes in memory beside its content and name, in bytes.
    static let nodeBytes = 320
    /// The deepest path, in directories.
    static let depth = 64

    /// The bytes that a compressor, by libarchive's number, may expand to.
    static func bytes(filter: Int32) -> Int {
        let windowed = [ARCHIVE_FILTER_LZMA, ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_LZIP, ARCHIVE_FILTER_ZSTD]
        return windowed.contains(filter) ? windowedBytes : bytes
    }
}
