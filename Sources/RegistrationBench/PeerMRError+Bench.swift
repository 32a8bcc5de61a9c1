// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
internal import PeerMRCore

extension PeerMRError {
    static func plan(_ reason: String, _ remedy: String) -> PeerMRError {
        PeerMRError(.invalidArgument, reason: reason, remedy: remedy)
    }

    static func hugeRequest(_ byteCount: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "\(byteCount) bytes are more than a process can map", remedy: "name smaller sizes"
        )
    }

    static func bareCall(_ errno: Errno) -> PeerMRError {
        PeerMRError(
            .system, call: "ibv_reg_mr", errno: errno,
            reason: "the bare call of the baseline was refused where PeerMR's had worked",
            remedy: "measure again; a limit that both share may be exhausted (ulimit -l, the pool's size)")
    }

    static func beyondDevice(_ most: UInt64) -> PeerMRError {
        PeerMRError(
            .notSupported, reason: "the device registers \(ByteCount.describe(most)) at most in one region",
            remedy: "measure smaller sizes")
    }

    static func beyondLimit(_ limit: UInt64) -> PeerMRError {
        PeerMRError(
            .resourceLimit, reason: "there are \(ByteCount.describe(limit)) of it",
            remedy: "measure smaller sizes, or name more memory")
    }

    static func beyondMachine(_ needed: UInt64, _ available: UInt64) -> PeerMRError {
        PeerMRError(
            .resourceLimit,
            reason: "it takes \(ByteCount.describe(needed)) of host memory, and of the "
                + "\(ByteCount.describe(available)) that are free a quarter is left alone",
            remedy: "measure smaller sizes, fewer threads, or with less registered beforehand")
    }

    static func thread(_ errno: Errno, _ count: Int) -> PeerMRError {
        PeerMRError(
            .resourceLimit, call: "pthread_create", errno: errno, reason: "\(count) threads cannot be made",
            remedy: "name fewer threads (ulimit -u)")
    }
}
