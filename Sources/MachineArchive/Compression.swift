// SPDX-License-Identifier: Apache-2.0

internal import CArchive

/// How an archive is compressed.
public enum Compression: String, CaseIterable, Sendable {
    case none, gzip, bzip2, xz, zstd

    /// By the end of a file's name; gzip where that does not tell.
    public init(forFile name: String) {
        let ends: [(String, Compression)] = [
            (".tar", .none), (".tbz", .bzip2), (".tbz2", .bzip2), (".bz2", .bzip2), (".txz", .xz), (".xz", .xz),
            (".tzst", .zstd), (".zst", .zstd),
        ]
        self = ends.first { name.hasSuffix($0.0) }?.1 ?? .gzip
    }

    var filter: Int32 {
        switch self {
        case .none: ARCHIVE_FILTER_NONE
        case .gzip: ARCHIVE_FILTER_GZIP
        case .bzip2: ARCHIVE_FILTER_BZIP2
        case .xz: ARCHIVE_FILTER_XZ
        case .zstd: ARCHIVE_FILTER_ZSTD
        }
    }
}
