// SPDX-License-Identifier: Apache-2.0

public import PeerMR
internal import SystemPackage
internal import PeerMRCore

extension PeerMRError {
    package static let transfersErrors = ErrorSection(
        "Transfers between RDMA and a drive",
        [
            unreachableServer, connectionRefused, unansweredConnection, serverSilent, serverStuck, serverGone,
            waitFailed, transferStopped, post, transportFailed, localFailed, completionFailed, outOfTurn, smallerMTU,
            chunkOutsideRegion, badSlotBytes, badTimeout, badSlotCount, badClientRange, changedOnItsWay, otherBytesCame,
            noRoomForRecord,
            wildcardAddress, serverStopped,
            badClientCount, poolTooSmall, clientStuck, clientTrickles, driveStuck, driveAbandoned, deviceRemoved,
            clientGone, refusedByServer, serverWithoutMemory,
            serverDriveFailed, serverDeviceFailed,
        ])
}

// What the client meets.
extension PeerMRError {
    static let unreachableServer = ErrorTable(facts: "server") { server in
        ErrorRow(.notFound, "no RDMA device leads to \(server)", "see rdma link show")
    }

    /// Reason 8 of the specification: no listener on that port (rdma/ib_cm.h, IB_CM_REJ_INVALID_SERVICE_ID).
    static let connectionRefused = ErrorTable(
        "rdma_connect", answer: "reason", facts: "server", "reason"
    ) { server, reason in
        ErrorRow(results: [8], .refused, "nothing listens on \(server)", "start the server there, or name its port")
        ErrorRow(
            .refused, "\(server) refuses the connection (reason \(reason))", "start the server there, or name its port")
    }

    static let unansweredConnection = ErrorTable(facts: "server", "event", "status") { server, event, status in
        ErrorRow(.disconnected, "\(server) does not answer (\(event), status \(status))")
            .with(remedy: "see whether it runs and the link is up (rdma link show)")
    }
    static let serverSilent = ErrorTable(facts: "server") { server in
        ErrorRow(.disconnected, "\(server) does not answer", "see whether it runs and the link is up")
    }
    static let serverStuck = ErrorTable(facts: "server") { server in
        ErrorRow(.disconnected, "\(server) made no progress for two minutes", "see what it printed")
    }
    static let serverGone = ErrorTable(facts: "server") { server in
        ErrorRow(.disconnected, "\(server) ended the connection in the middle of the transfer")
            .with(remedy: "see what it printed, and repeat the transfer")
    }
    static let waitFailed = ErrorTable("poll", facts: "client or server") { side in
        ErrorRow(.system, "the \(side) cannot wait for events", "see the kernel log (dmesg)")
    }
    static let transferStopped = ErrorTable { ErrorRow(.refused, "stopped before the transfer was complete") }

    /// The application, or its user, has stopped the transfer.
    public static let stopped = transferStopped()
}

// What both sides meet.
extension PeerMRError {
    static let post = ErrorTable(
        "ibv_post_send", "ibv_post_recv", "ibv_req_notify_cq", "ibv_poll_cq", origin: .nic
    ) {
        ErrorRow(.system, "the RDMA device takes no more work", "see the kernel log (dmesg)")
    }
    static let transportFailed = ErrorTable(facts: "status", "hint") { status, hint in
        ErrorRow(.disconnected, "the connection failed: \(status) (\(hint))")
            .with(remedy: "see whether the other side runs, and the link is up (rdma link show)")
    }
    static let localFailed = ErrorTable(origin: .nic, facts: "status", "hint") { status, hint in
        ErrorRow(.system, "the RDMA device of this side failed: \(status) (\(hint))", "see the kernel log (dmesg)")
    }
    static let completionFailed = ErrorTable(facts: "status", "hint") { status, hint in
        ErrorRow(.system, "the connection failed: \(status) (\(hint))")
            .with(remedy: "see whether the other side runs, and the link is up (rdma link show)")
    }

    static func lost(_ completion: Completion) -> PeerMRError {
        let (status, syndrome) = (completion.status, completion.vendorSyndrome)
        let hint = status.hint + (syndrome == 0 ? "" : ", vendor code \(syndrome)")
        return switch status.failureClass {
        case .transport, .flushed: transportFailed(status, hint)
        case .local: localFailed(status, hint)
        default: completionFailed(status, hint)
        }
    }

    static let outOfTurn = ErrorTable(facts: "what it did") { what in
        ErrorRow(.protocolViolation, "the other side broke the protocol: \(what)", "run the same version on both sides")
    }
    static let smallerMTU = ErrorTable(origin: .operator, facts: "path MTU", "own MTU") { path, own in
        ErrorRow(
            .unsafeConfiguration,
            "the path MTU is \(path) bytes, as the client's port has it, and the MTU of this port is \(own) bytes",
            "set the MTU of both network interfaces to the same, 4200 or more (ip link set IFNAME mtu 4200)")
    }
    static let chunkOutsideRegion = ErrorTable(origin: .nic, facts: "chunk", "error") { chunk, error in
        ErrorRow(.invalidArgument, "chunk \(chunk) has no place in its region (\(error))")
    }
}

// What the server meets.
extension PeerMRError {
    static let badSlotBytes = ErrorTable(facts: "byte count", "path", "unit") { size, path, unit in
        ErrorRow(.invalidArgument, "slots of \(size) bytes are not of whole pages and of whole blocks of \(path)")
            .with(remedy: "take a multiple of \(unit)")
    }
    static let badTimeout = ErrorTable(facts: "seconds") { seconds in
        ErrorRow(.invalidArgument, "\(seconds) s is no valid timeout", "take 1 to 86400 seconds")
    }
    static let badSlotCount = ErrorTable(facts: "count", "limit") { count, limit in
        ErrorRow(.invalidArgument, "\(count) slots cannot be numbered", "take 1 to \(limit)")
    }

    static let badClientCount = ErrorTable(facts: "clients", "queue", "limit") { clients, queue, limit in
        ErrorRow(
            .invalidArgument, "\(clients) clients at once and \(queue) that wait cannot be served",
            "take 1 to \(limit) clients, and 0 to \(limit) that wait")
    }
    static let poolTooSmall = ErrorTable(
        facts: "parts", "clients", "byte count"
    ) { parts, clients, count in
        ErrorRow(
            .resourceLimit,
            "there is memory for the slots of \(parts) clients at once, \(count) bytes each, and not of \(clients)",
            "serve fewer at once, or take fewer or smaller slots")
    }

    static let changedOnItsWay = ErrorTable(facts: "chunk", "digest", "expected") { chunk, found, expected in
        ErrorRow(
            .dataMismatch,
            "the client's bytes were changed on their way: chunk \(chunk) has the CRC32C \(found) instead of "
                + "\(expected)",
            "do not trust this path: see whether the NIC, the link or the memory reports errors")
    }
    static let otherBytesCame = ErrorTable(facts: "offset", "digest", "expected") { offset, found, expected in
        ErrorRow(
            .dataMismatch,
            "other bytes came than expected from offset \(offset) on: CRC32C \(found) instead of \(expected)",
            "do not trust this path; compare with host memory on the server")
    }

    static let noRoomForRecord = ErrorTable {
        ErrorRow(.invalidArgument, "there is no room for a record behind the data", "take a smaller offset or length")
    }

    static let badClientRange = ErrorTable(
        facts: "offset", "byte count", "capacity", "block"
    ) { offset, count, capacity, block in
        ErrorRow(
            .invalidArgument,
            "a client's range of \(count) bytes from \(offset) on is not of whole blocks within the \(capacity) bytes "
                + "that are served",
            "take multiples of \(block) bytes, counted from the beginning of what is served")
    }

    /// A wildcard is of all devices, and the slots belong to one.
    static let wildcardAddress = ErrorTable(facts: "host", .list("devices")) { host, devices in
        ErrorRow(.notFound, "\(host) is no address to listen on here: the slots belong to one RDMA device (\(devices))")
            .with(remedy: "name an address of a network interface of an RDMA device (rdma link show)")
    }

    static let serverStopped = ErrorTable(origin: .operator) { ErrorRow(.refused, "the server was told to stop") }

    static let clientStuck = ErrorTable(origin: .client, facts: "seconds") { seconds in
        ErrorRow(.disconnected, "the client made no progress for \(seconds) s")
            .with(remedy: "see whether it hangs, or raise the server's time limit")
    }
    static let clientTrickles = ErrorTable(
        origin: .client, facts: "rate", "minimum rate", "seconds"
    ) { rate, least, seconds in
        ErrorRow(
            .disconnected,
            "the client moved \(rate) bytes/s over \(seconds) s in which it was waited for, and \(least) is the least",
            "see what slows it down, or lower the server's minimum rate")
    }
    static let driveStuck = ErrorTable(origin: .drive, facts: "path", "seconds", "count") { path, seconds, count in
        ErrorRow(
            [.timedOut], .disconnected,
            "the drive \(path) has finished nothing for \(seconds) s, with \(count) operations under way",
            "see the kernel log (dmesg), or raise the time limit for the drive")
        ErrorRow(.disconnected, "the drive \(path) has finished nothing for \(seconds) s")
    }
    static let driveAbandoned = ErrorTable(origin: .drive, facts: "path", "count") { path, count in
        ErrorRow(.busy, "stopped while the drive \(path) had not finished \(count) operations")
            .with(remedy: "what was being written is undefined; see the kernel log (dmesg)")
    }
    static let deviceRemoved = ErrorTable(origin: .nic, facts: "device") { device in
        ErrorRow(.disconnected, "the RDMA device \(device) is gone")
            .with(remedy: "see the kernel log (dmesg); start again when it is back (rdma link show)")
    }
    static let clientGone = ErrorTable(origin: .client) {
        ErrorRow(.disconnected, "the client disconnected in the middle of its transfer")
            .with(remedy: "what it had sent may be on the drive; let it send again")
    }
}
