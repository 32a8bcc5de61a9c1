// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let misuseErrors = ErrorSection(
        "Using the C library",
        [
            null, threadMemory, unknownHandle, otherHandle, freedHandle, tooManyHandles, inUse, memoryIsRegistered,
            openedIsRegistered, noBuffer, nicByText,
            structSize, unknownMembers, unknownValue, noAddress, noFunction, lengthOutOfRange, domainWithoutContext,
            ownedMemory, noFinding, proofTooLong, noPlace, tooManyParts, outsidePart, acrossChunks,
            // Of caches.
            arenaIsUsed, cacheIsUsed, cacheFallback, wideningElsewhere, noLease, returnedLease, readerOfOther,
            notInCache,
        ])
}

// Handles.
extension PeerMRError {
    static let null = ErrorTable(facts: "argument") { argument in
        ErrorRow(.invalidArgument, "\(argument) is NULL", "pass one")
    }
    static let threadMemory = ErrorTable {
        ErrorRow(.resourceLimit, "there is no memory for what the library keeps of a thread", "free some")
    }
    static let unknownHandle = ErrorTable(facts: .hexadecimal("handle"), "kind") { handle, kind in
        ErrorRow(.invalidArgument, "\(handle) is no \(kind)", "pass what the library returned")
    }
    static let otherHandle = ErrorTable(facts: "kind", "other kind") { kind, other in
        ErrorRow(.invalidArgument, "a \(other) was passed for a \(kind)", "pass one of the right kind")
    }
    static let freedHandle = ErrorTable(facts: "kind") { kind in
        ErrorRow(.invalidArgument, "this \(kind) has been freed before", "free it once, use it before")
    }

    /// - Parameter isKnown: whether it was one of the kind's.
    static func noHandle(_ handle: UInt, _ kind: HandleKind, isKnown: Bool) -> PeerMRError {
        if handle == 0 { return null(kind.name) }
        if isKnown { return freedHandle(kind.name) }
        guard let found = Handle(handle)?.kind, found != kind else { return unknownHandle(handle, kind.name) }
        return otherHandle(kind.name, found.name)
    }

    static let tooManyHandles = ErrorTable(facts: "kind") { kind in
        ErrorRow(.resourceLimit, "there are too many live \(kind)", "free those that are not needed")
    }
    static let inUse = ErrorTable(facts: "kind") { kind in
        ErrorRow(.busy, "another thread's call is using this \(kind)", "wait until it has returned")
    }
    static let memoryIsRegistered = ErrorTable {
        ErrorRow(.busy, "regions or requests over this p2pmem live")
            .with(remedy: "deregister the regions, free the requests, and invalidate the memory in caches")
    }
    static let openedIsRegistered = ErrorTable {
        ErrorRow(.busy, "regions over this memory live", "deregister them first")
    }
    static let nicByText = ErrorTable {
        ErrorRow(
            .notSupported,
            "memory of an RDMA device is allocated from that device, and peermr_memory_open() is given none"
        ).with(
            remedy: "allocate it with ibv_alloc_dm() and register it with ibv_reg_dm_mr(): no other device's memory is "
                + "in it, so there is nothing to find out")
    }
    static let noBuffer = ErrorTable(facts: "kind") { kind in
        ErrorRow(.notSupported, "this memory is \(kind), and has no dma-buf")
            .with(remedy: "register it by peermr_register_memory(), or open a udmabuf, a heap or a BAR of vfio-pci")
    }
}

// Arguments.
extension PeerMRError {
    static let structSize = ErrorTable(facts: "name", "size", "smallest", "largest") { name, size, first, limit in
        ErrorRow(.invalidArgument, "struct_size of struct \(name) is \(size), and \(first) to \(limit) would be right")
            .with(remedy: "set it to sizeof(struct \(name))")
    }
    static let unknownMembers = ErrorTable(facts: "name") { name in
        ErrorRow(
            .invalidArgument,
            "struct \(name) has members that this version of the library does not know, and they are not 0",
            "set them to 0, or run a newer library")
    }
    static let unknownValue = ErrorTable(facts: "value", "type") { value, type in
        ErrorRow(.invalidArgument, "\(value) is no \(type)", "use one that peermr.h has")
    }
    static let noAddress = ErrorTable(facts: "text") { text in
        ErrorRow(
            .invalidArgument, "\"\(text)\" is no PCI address", "write it as lspci -D does, for example 0000:03:00.0")
    }
    static let noFunction = ErrorTable(facts: "address") { address in
        ErrorRow(.notFound, "there is no PCI function \(address)")
            .with(remedy: "see peermr devices, or lspci -D, for those that there are")
    }
    static let lengthOutOfRange = ErrorTable(facts: "length") { length in
        ErrorRow(.invalidArgument, "\(length) bytes are no length of memory", "ask for at least one byte")
    }
    static let domainWithoutContext = ErrorTable {
        ErrorRow(.invalidArgument, "the ibv_pd has no ibv_context", "pass one that ibv_alloc_pd() returned")
    }
    static let ownedMemory = ErrorTable {
        ErrorRow(.notSupported, "the memory of this region is the library's, and would be freed with it")
            .with(remedy: "keep the region, or register memory of the application's")
    }
    static let noFinding = ErrorTable(facts: "index", "count") { index, count in
        ErrorRow(.invalidArgument, "there is no finding \(index): there are \(count), from 0 on")
            .with(remedy: "see peermr_capability_finding_count()")
    }
    static let noPlace = ErrorTable(facts: "index", "kind", "count") { index, kind, count in
        ErrorRow(.invalidArgument, "there is no \(kind) \(index): there are \(count), from 0 on")
            .with(remedy: "name one that peermr_register_bulk() was given")
    }
    static let tooManyParts = ErrorTable(facts: "most") { most in
        ErrorRow(.invalidArgument, "more than \(most) parts or protection domains", "register fewer at once")
    }
    static let outsidePart = ErrorTable(facts: "count", "offset", "size") { count, offset, whole in
        ErrorRow(.invalidArgument, "\(count) bytes at offset \(offset) are not inside a part of \(whole) bytes")
            .with(remedy: "name a range that is")
    }
    static let acrossChunks = ErrorTable(facts: "count", "offset", .bytes("chunk")) { count, offset, chunk in
        ErrorRow(
            .invalidArgument,
            "\(count) bytes at offset \(offset) lie in more than one chunk of \(chunk), and no key opens two",
            "take them piece by piece, by peermr_bulk_piece()")
    }
    static let proofTooLong = ErrorTable(facts: "length") { length in
        ErrorRow(.invalidArgument, "a proof of \(length) bytes is longer than 16 MiB", "prove less, or 0")
    }
}
