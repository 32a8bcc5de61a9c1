// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let benchErrors = ErrorSection(
        "The bench of registration",
        [
            emptyPlan, badThreads, badIterations, bareChunks, populatedAlready, unalignedStart, beyondRegion,
            malformedSize, partOfPage, descendingRange, hugeRequest, noHostPages, bareCall, beyondDevice, beyondLimit,
            beyondMachine, thread, badCount, severalSizes,
        ])
}

// What a plan asks for.
extension PeerMRError {
    static let emptyPlan = ErrorTable {
        ErrorRow(.invalidArgument, "there is nothing to measure", "name memory and sizes")
    }
    static let badThreads = ErrorTable(facts: "count", "limit") { count, limit in
        ErrorRow(.invalidArgument, "\(count) threads cannot register", "name 1 to \(limit) threads")
    }
    static let badIterations = ErrorTable(facts: "count") { count in
        ErrorRow(.invalidArgument, "\(count) iterations measure nothing", "name at least 1")
    }
    static let badCount = ErrorTable(facts: "what", "count", "most") { what, count, most in
        ErrorRow(.invalidArgument, "\(count) is no number of \(what)", "name 1 to \(most)")
    }
    package static let severalSizes = ErrorTable(facts: "text") { text in
        ErrorRow(.invalidArgument, "\"\(text)\" is more than one size of a region", "name one, such as 64K")
    }
    static let bareChunks = ErrorTable {
        ErrorRow(.invalidArgument, "the bare calls register memory whole, and not in chunks")
            .with(remedy: "measure chunks without a baseline")
    }
    static let populatedAlready = ErrorTable {
        ErrorRow(.invalidArgument, "memory that has been registered before has its pages already")
            .with(remedy: "measure new memory as well")
    }
    static let unalignedStart = ErrorTable(facts: "memory", "offset", "page size") { memory, offset, page in
        ErrorRow(.invalidArgument, "\(memory) begins at \(offset), which is no multiple of a page of \(page) bytes")
            .with(remedy: "name an offset that is")
    }
    static let beyondRegion = ErrorTable(
        facts: "device", "limit", "size", .bytes("limit in units")
    ) { device, limit, size, short in
        ErrorRow(.invalidArgument, "\(device) registers \(limit) bytes at most in one region, and not \(size)")
            .with(remedy: "name sizes up to \(short)")
    }
    static let malformedSize = ErrorTable(facts: "text") { text in
        ErrorRow(
            .invalidArgument, "\(text) is no size of memory",
            "write sizes as 4K,64K,1M, or a range in steps of 4 as 4K..1G")
    }
    static let partOfPage = ErrorTable(facts: "size", "page size") { size, page in
        ErrorRow(.invalidArgument, "\(size) bytes are no whole pages of \(page) bytes")
            .with(remedy: "name multiples of \(page): a device maps pages")
    }
    static let descendingRange = ErrorTable(facts: "first", "last") { first, last in
        ErrorRow(.invalidArgument, "a range of sizes goes up, and not from \(first) to \(last)")
            .with(remedy: "write the smaller one first")
    }
}

// What a machine does not have.
extension PeerMRError {
    static let hugeRequest = ErrorTable(facts: "byte count") { size in
        ErrorRow(.invalidArgument, "\(size) bytes are more than a process can map", "name smaller sizes")
    }
    static let noHostPages = ErrorTable("mmap", facts: .bytes("byte count")) { size in
        ErrorRow(.resourceLimit, "\(size) of host memory cannot be mapped", "ask for less")
    }
    static let bareCall = ErrorTable("ibv_reg_mr") {
        ErrorRow(.system, "the bare call of the baseline was refused where PeerMR's had worked")
            .with(remedy: "measure again; a limit that both share may be exhausted (ulimit -l, the pool's size)")
    }
    static let beyondDevice = ErrorTable(facts: .bytes("limit")) { limit in
        ErrorRow(.notSupported, "the device registers \(limit) at most in one region", "measure smaller sizes")
    }
    static let beyondLimit = ErrorTable(facts: .bytes("limit")) { limit in
        ErrorRow(.resourceLimit, "there are \(limit) of it", "measure smaller sizes, or name more memory")
    }
    static let beyondMachine = ErrorTable(facts: .bytes("needed"), .bytes("free")) { needed, free in
        ErrorRow(
            .resourceLimit,
            "it takes \(needed) of host memory, and of the \(free) that are free a quarter is left alone",
            "measure smaller sizes, fewer threads, or with less registered beforehand")
    }
    static let thread = ErrorTable("pthread_create", facts: "count") { count in
        ErrorRow(.resourceLimit, "\(count) threads cannot be started", "name fewer threads (ulimit -u)")
    }
}
