// SPDX-License-Identifier: Apache-2.0

import PeerMR

// What ended a loop, in words.
extension PeerMRError {
    static func loop(_ end: LoopEnd) -> PeerMRError {
        switch end {
        case .complete: PeerMRError(.system, reason: "the run came to its end")
        case .failed(let status, let vendor): .failed(status, vendor)
        case .refused(let errno):
            PeerMRError(
                .system, call: "ibv_post_send", errno: errno, reason: "the RDMA device takes no more work",
                remedy: "see the kernel log (dmesg)")
        case .otherSize(let bytes):
            PeerMRError(
                .protocolViolation, reason: "the other end sent a message of \(bytes) bytes, which was not agreed",
                remedy: "start both ends with the same --size")
        case .corrupt(let message, let offset):
            PeerMRError(
                .dataMismatch, reason: "byte \(offset) of message \(message) is not the one that was sent",
                remedy: "do not trust this path; compare with --memory host, and with --mtu 4096 on Soft-RoCE")
        case .unreachable:
            PeerMRError(
                .memoryRevoked, reason: "the memory's bytes cannot be looked at any more",
                remedy: "see whether the device that it belongs to is still there (dmesg)")
        case .timedOut:
            PeerMRError(
                .disconnected, reason: "the other end says nothing any more",
                remedy: "see whether it still runs with the same --size, --mtu and --iterations, and the link is up")
        case .peerClosed: .closedEarly("in the middle of a run")
        }
    }

    private static func failed(_ status: CompletionStatus, _ vendor: UInt32) -> PeerMRError {
        let code = vendor == 0 ? "" : ", vendor code \(vendor)"
        let said = "\(status) (\(status.hint)\(code))"
        switch status {
        // Where a message is longer than the receive, Soft-RoCE says at both ends that an operation failed.
        case .localLength, .remoteInvalidRequest, .localOperation:
            return PeerMRError(
                .protocolViolation, reason: "the two ends do not agree on what they send: \(said)",
                remedy: "start both ends with the same --size and the same --mtu")
        case .remoteOperation:
            return PeerMRError(
                .protocolViolation,
                reason: "the two ends do not agree on what they send, or the other end's memory is gone: \(said)",
                remedy: "start both ends with the same --size and the same --mtu, and see what the program there said")
        case .retryExceeded, .flushed:
            return PeerMRError(
                .disconnected, reason: "the other end is gone: \(said)",
                remedy: "see what the program there said when it ended, and that both ends have the same --mtu")
        default:
            return PeerMRError(
                .system, reason: "a message failed: \(said)",
                remedy: "see the kernel log (dmesg) of both hosts, and compare with --memory host")
        }
    }
}

extension CompletionStatus {
    /// IBV_WC_LOC_QP_OP_ERR.
    fileprivate static let localOperation = CompletionStatus(rawValue: 2)
}
