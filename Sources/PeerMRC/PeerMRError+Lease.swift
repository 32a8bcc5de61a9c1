// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

// Caches, and what is of them.
extension PeerMRError {
    static let arenaIsUsed = ErrorTable {
        ErrorRow(.busy, "requests or cached regions over this arena live")
            .with(remedy: "free the requests, and invalidate the arena in each cache")
    }
    static let cacheIsUsed = ErrorTable {
        ErrorRow(.busy, "requests or readers of this cache live", "free them first")
    }
    static let cacheFallback = ErrorTable {
        ErrorRow(.invalidArgument, "a cache has no fallback: it keeps regions of the memory itself")
            .with(remedy: "set fallback to PEERMR_FALLBACK_REFUSE")
    }
    static let wideningElsewhere = ErrorTable {
        ErrorRow(.invalidArgument, "PEERMR_OPTION_WIDEN is for requests of a cache", "leave it out")
    }
    static let noLease = ErrorTable {
        ErrorRow(.invalidArgument, "the ticket is of no lease", "pass what peermr_cache_lease() filled in")
    }
    static let returnedLease = ErrorTable {
        ErrorRow(.invalidArgument, "this lease has been given back before", "give each lease back once")
    }
    static let readerOfOther = ErrorTable {
        ErrorRow(.invalidArgument, "the reader is of another thread", "make one for each thread")
    }
    static let notInCache = ErrorTable {
        ErrorRow(.notFound, "no region of the cache has these bytes", "lease them by peermr_cache_lease()")
    }
}
