// SPDX-License-Identifier: Apache-2.0

public import PeerMR
public import PeerStorage
public import SystemPackage
public import PeerMRCore

extension DriveServer {
    /// What happens on a server. The description is a sentence for people.
    public enum Event: Sendable {
        /// It listens, and on what terms.
        case serving(Offer)
        /// Host memory stands in for the peer memory that was asked for, and why.
        case bouncing(PeerMRError)
        /// A client waits for its turn, as the so-manieth.
        case queued(client: String, position: Int)
        /// A client was sent away.
        case refused(client: String, reason: String)
        /// A client could not be served for a reason that concerns the server alone.
        case unable(client: String, PeerMRError)
        /// A transfer has come to its end, good or bad; its slots and queue pair are free again.
        case ended(TransferReport)
        /// It was told to stop.
        case stopping
        /// The drive takes its time: for so many seconds it has finished none of so many operations.
        case waitingForDrive(seconds: Int, operations: Int)
    }

    /// What a server offers.
    public struct Offer: Sendable {
        /// The drive.
        public let path: FilePath
        /// The only part of the drive that is touched.
        public let range: BlockRange
        /// Where it listens.
        public let address: SocketAddress
        /// The RDMA device.
        public let device: Device
        /// What moves the device's bytes: hardware or software.
        public let nic: NICKind
        /// What the slots are made of.
        public let memory: MemoryKind
        /// Whose memory it is; nil for the host's.
        public let provider: PCIAddress?
        /// How it was registered, and why so.
        public let choice: MethodChoice
        /// The size of a slot, in bytes.
        public let slotBytes: UInt32
        /// How many slots each client has.
        public let slotCount: UInt16
        /// How many clients are served at once.
        public let clientCount: Int
        /// Whether other hosts are served without a key.
        public let isOpen: Bool
    }
}

/// How a transfer went, as the server counted it.
public struct TransferReport: Sendable {
    /// What the client wanted.
    public let operation: Operation
    /// The client's address.
    public let client: String
    /// How many bytes it wanted to move.
    public let byteCount: UInt64
    /// How many have gone which way.
    public let count: TransferCount
    /// From the first credit to the last acknowledgement; 0 where it did not come to that.
    public let seconds: Double
    /// Why it failed, and by whose fault (``PeerMRCore/PeerMRError/origin``); nil where it did not.
    public let failure: PeerMRError?
}

extension DriveServer.Offer: CustomStringConvertible {
    /// Up to four lines: the slots, a word on software devices, what is served where, and whether it is open.
    public var description: String {
        let owner = provider.map { " of \($0)" } ?? ""
        var lines = [
            "\(slotCount) slots of \(ByteCount.describe(slotBytes)) in \(memory.rawValue)\(owner) for "
                + (clientCount == 1 ? "one client at a time" : "each of \(clientCount) clients at once")
                + ", \(choice.method.rawValue) because \(choice.reason)"
        ]
        if nic == .software {
            lines.append("\(device) is a software device: the CPU copies in the kernel, no NIC does DMA")
        }
        lines.append(
            "serving \(path.string.printable), bytes \(range.offset) to \(range.offset + range.byteCount), "
                + "on \(address) over \(device)")
        if isOpen {
            lines.append("there is no key: who takes over an allowed address on the network may use the drive")
        }
        return lines.joined(separator: "\n")
    }
}

extension DriveServer.Event: CustomStringConvertible {
    /// One line for people.
    public var description: String {
        switch self {
        case .serving(let offer): "\(offer)"
        case .bouncing(let reason): "bouncing through host memory: \(reason)"
        case .queued(let client, let position): "\(client) waits for its turn, at place \(position) of the queue"
        case .refused(let client, let reason): "refused \(client): \(reason)"
        case .unable(let client, let error): "cannot serve \(client): \(error)"
        case .ended(let report): "\(report)"
        case .stopping: "stopping"
        case .waitingForDrive(let seconds, let operations):
            "waiting for the drive: for \(seconds) s it has finished none of \(operations) operations"
        }
    }
}

extension TransferReport: CustomStringConvertible {
    /// One line for people.
    public var description: String {
        if let failure {
            return "\(operation.name) by \(client) failed: \(failure); its slots and queue pair are free again"
        }
        return "\(operation.name) by \(client): \(byteCount) bytes, \(count.peerToPeer) through peer memory, "
            + "\(count.bounced) bounced"
    }
}
