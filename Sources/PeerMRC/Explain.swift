// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

// The one place of this module that turns misuse into words.
extension PeerMRError {
    static func null(_ name: String) -> PeerMRError {
        PeerMRError(.invalidArgument, reason: "\(name) is NULL", remedy: "pass one")
    }

    static func noHandle(_ handle: UInt, _ kind: HandleKind) -> PeerMRError {
        if handle == 0 { return .null(kind.name) }
        guard let found = Handle.kind(handle) else {
            return PeerMRError(
                .invalidArgument, reason: "0x\(String(handle, radix: 16)) is no \(kind.name)",
                remedy: "pass what the library gave")
        }
        if found != kind {
            return PeerMRError(
                .invalidArgument, reason: "a \(found.name) was passed for a \(kind.name)",
                remedy: "pass one of the right kind")
        }
        return PeerMRError(
            .invalidArgument, reason: "this \(kind.name) has been freed before", remedy: "free it once, use it before")
    }

    static func inUse(_ kind: HandleKind) -> PeerMRError {
        PeerMRError(
            .busy, reason: "another thread's call is using this \(kind.name)", remedy: "wait until it has returned")
    }

    static var memoryIsRegistered: PeerMRError {
        PeerMRError(.busy, reason: "regions over this p2pmem live", remedy: "deregister them first")
    }

    static func structSize(_ name: String, _ size: Int, atLeast: Int) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason: "struct_size of struct \(name) is \(size), and \(atLeast) to \(Structs.limit) would be right",
            remedy: "set it to sizeof(struct \(name))")
    }

    static func unknownMembers(_ name: String) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason: "struct \(name) has members that this version of the library does not know, and they are not 0",
            remedy: "set them to 0, or run a newer library")
    }

    static func unknownValue(_ value: UInt64, of name: String) -> PeerMRError {
        PeerMRError(.invalidArgument, reason: "\(value) is no \(name)", remedy: "use one that peermr.h has")
    }

    static func noAddress(_ text: String) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "\"\(text)\" is no PCI address",
            remedy: "write it as lspci -D does, for example 0000:03:00.0")
    }

    static func noFunction(_ address: String) -> PeerMRError {
        PeerMRError(
            .notFound, reason: "there is no PCI function \(address)",
            remedy: "see peermr devices, or lspci -D, for those that there are")
    }

    static func lengthOutOfRange(_ length: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "\(length) bytes are no length of memory", remedy: "ask for 1 byte or more")
    }

    static var domainWithoutContext: PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "the ibv_pd has no ibv_context", remedy: "pass one that ibv_alloc_pd() gave")
    }

    static var ownedMemory: PeerMRError {
        PeerMRError(
            .notSupported, reason: "the memory of this region is the library's, and would go with it",
            remedy: "keep the region, or register memory of the application's")
    }

    static func noFinding(_ index: UInt64, of count: Int) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "there is no finding \(index): there are \(count), from 0 on",
            remedy: "see peermr_capability_finding_count()")
    }

    static func proofTooLong(_ length: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "a proof of \(length) bytes is longer than 16 MiB", remedy: "prove less, or 0")
    }
}
