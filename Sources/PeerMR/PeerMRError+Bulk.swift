// SPDX-License-Identifier: Apache-2.0

package import PeerMRCore
internal import Verbs

extension PeerMRError {
    package static let bulkErrors = ErrorSection(
        "Registering many parts at once",
        [bulkWithoutDomain, bulkThreads, bulkChunk, bulkEmptyPart, bulkRegions, bulkFailure])

    static let bulkWithoutDomain = ErrorTable {
        ErrorRow(.invalidArgument, "there is no domain to register memory in", "name one at least")
    }
    static let bulkThreads = ErrorTable(facts: "count", "most") { count, most in
        ErrorRow(.invalidArgument, "\(count) threads cannot register at once", "name 1 to \(most)")
    }
    static let bulkChunk = ErrorTable(facts: "byte count", "page size") { count, page in
        ErrorRow(.invalidArgument, "memory cannot be registered in chunks of \(count) bytes")
            .with(remedy: "name a multiple of the page size, \(page)")
    }
    static let bulkEmptyPart = ErrorTable {
        ErrorRow(.invalidArgument, "it has no bytes", "leave it out")
    }
    static let bulkRegions = ErrorTable(facts: "device", "most") { device, most in
        ErrorRow(.resourceLimit, "\(device) has \(most) regions in all, which is fewer than all parts in chunks take")
            .with(remedy: "register fewer parts, or in larger chunks")
    }
    /// The class is that of the failure.
    static let bulkFailure = ErrorTable(
        "ibv_reg_mr", "ibv_reg_dmabuf_mr", "ibv_reg_dm_mr", "mlx5dv_reg_dmabuf_mr", "madvise",
        facts: "error", "part", "count", .optional(", bytes ", "range"), .optional(", on ", "device"),
        .optional("", "remedy")
    ) { error, part, count, range, device, remedy in
        ErrorRow(nil, "part \(part) of \(count)\(range)\(device): \(error)", "\(remedy)")
    }

    /// - Parameters:
    ///   - part: from 0, as in an array; said from 1.
    ///   - range: the chunk, where there are several.
    static func bulkPart(
        _ error: PeerMRError, _ part: Int, _ count: Int, _ range: Range<UInt64>?, _ device: Device?
    ) -> PeerMRError {
        bulkFailure(
            of: error, error.reason, part + 1, count, range.map { "\($0.lowerBound) to \($0.upperBound)" }, device,
            error.remedy)
    }
}
