// SPDX-License-Identifier: Apache-2.0
//
// What client and server say to each other: a preface and a challenge in the private data of the connection, a hello
// and a welcome (or a refusal) as messages on it, then 32-bit messages as immediates. Numbers are little-endian.
// README.md in Examples/NICToNVMe has the tables.

import PeerMR

/// The version that this program speaks. Another one is refused, with both numbers named.
let wireVersion: UInt16 = 2
let magic: UInt32 = 0x524d_5031  // "1PMR"

/// What a client wants.
public enum Operation: UInt8, Sendable {
    /// To write to the drive.
    case put = 1
    /// To read from it.
    case get = 2

    /// For people and reports.
    public var name: String { self == .put ? "put" : "get" }
}

/// Slots have numbers below this.
public let slotLimit: UInt16 = 4096
/// What the size of a slot is a multiple of, in bytes, whatever the pages of the two machines are: a server may want
/// more.
let slotUnit: UInt32 = 4096

/// From client to server, the first message on the connection: what it wants.
package struct Hello: Equatable {
    var operation: Operation
    /// Where in the server's range, in bytes.
    var offset: UInt64
    var byteCount: UInt64
    /// The client's slots: where the server writes to, for `get`.
    var buffer: RemoteAddress
    var slotBytes: UInt32
    var slotCount: UInt16
    /// Whether a put is read back in the same session: nobody comes in between.
    var isReadBack = false
    /// How long it waits for its turn where others are served, in seconds; 0 where it does not wait.
    var queueSeconds: UInt32 = 0
    /// How long the server may wait for it, in seconds, where that is less than the server's own limit; 0 for that.
    var idleSeconds: UInt32 = 0

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.put(magic)
        writer.put(wireVersion)
        writer.put(operation.rawValue)
        writer.put(UInt8(isReadBack ? 1 : 0))
        writer.put(offset)
        writer.put(byteCount)
        writer.put(buffer.address)
        writer.put(buffer.key)
        writer.put(slotBytes)
        writer.put(slotCount)
        writer.put(queueSeconds)
        writer.put(idleSeconds)
        writer.pad(to: ProvenMessage.bodyBytes)
        return writer.bytes
    }
}

extension Hello {
    /// Reads what a client has sent.
    ///
    /// - Throws: the refusal that answers it.
    package init(parsing bytes: [UInt8]) throws(Refusal) {
        var reader = ByteReader(bytes)
        guard reader.take(UInt32.self) == magic, reader.take(UInt16.self) == wireVersion,
            let operation = reader.take(UInt8.self).flatMap(Operation.init(rawValue:)),
            let flags = reader.take(UInt8.self), flags == 0 || flags == 1 && operation == .put,
            let offset = reader.take(UInt64.self),
            let byteCount = reader.take(UInt64.self), let address = reader.take(UInt64.self),
            let key = reader.take(UInt32.self), let slotBytes = reader.take(UInt32.self),
            let slotCount = reader.take(UInt16.self), let queueSeconds = reader.take(UInt32.self),
            let idleSeconds = reader.take(UInt32.self), reader.isZero(to: ProvenMessage.bodyBytes)
        else { throw Refusal(.malformed, detail: UInt64(wireVersion)) }
        guard slotBytes > 0, slotBytes % slotUnit == 0, slotCount > 0, slotCount <= slotLimit
        else { throw Refusal(.badSlots) }
        self.init(
            operation: operation, offset: offset, byteCount: byteCount,
            buffer: RemoteAddress(address: address, key: key), slotBytes: slotBytes,
            slotCount: slotCount, isReadBack: flags == 1, queueSeconds: queueSeconds, idleSeconds: idleSeconds)
    }
}

/// What client and server have agreed on: how long each waits for whom.
public struct TransferLimits: Equatable, Sendable {
    /// How long the client may leave undone what it is waited for, in seconds; 0 where the server does not say.
    public var clientSeconds: UInt32 = 0
    /// How long the drive may finish nothing, in seconds; 0 where the server does not say.
    public var driveSeconds: UInt32 = 0
    /// The least that the client must move while it is waited for, in bytes a second; 0 for any.
    public var minimumRate: UInt64 = 0
}

/// From server to client, when it takes what the client wants: the first that it offers.
struct Welcome: Equatable {
    /// The slots that both sides use, and their size: the smaller of what the two have.
    var slotCount: UInt16
    var slotBytes: UInt32
    /// The server's range, in bytes, and the block that offsets must be a multiple of.
    var capacity: UInt64
    var blockBytes: UInt32
    /// The server's slots: where the client writes to, for `put`.
    var buffer: RemoteAddress
    /// The memory of the slots, how they were registered, what moves the bytes, and whether it is a bounce.
    var memory: MemoryKind
    var method: Method
    var nic: NICKind
    var isBounce: Bool
    /// Whether the server computes digests, too: those of a put are compared there, and a get brings them along.
    var hasDigests = false
    var limits = TransferLimits()

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.put(magic)
        writer.put(wireVersion)
        writer.put(slotCount)
        writer.put(slotBytes)
        writer.put(blockBytes)
        writer.put(capacity)
        writer.put(buffer.address)
        writer.put(buffer.key)
        writer.put(UInt8(MemoryKind.allCases.firstIndex(of: memory) ?? 0))
        writer.put(UInt8(Method.allCases.firstIndex(of: method) ?? 0))
        writer.put(UInt8(nic == .software ? 1 : 0))
        writer.put(UInt8(isBounce ? 1 : 0))
        writer.put(UInt8(hasDigests ? 1 : 0))
        writer.put(limits.clientSeconds)
        writer.put(limits.driveSeconds)
        writer.put(limits.minimumRate)
        writer.pad(to: ProvenMessage.bodyBytes)
        return writer.bytes
    }
}

extension Welcome {
    /// Reads what a server has answered; nil where it is not this protocol.
    init?(parsing bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard reader.take(UInt32.self) == magic, reader.take(UInt16.self) == wireVersion,
            let slotCount = reader.take(UInt16.self), let slotBytes = reader.take(UInt32.self),
            let blockBytes = reader.take(UInt32.self), let capacity = reader.take(UInt64.self),
            let address = reader.take(UInt64.self), let key = reader.take(UInt32.self),
            let memory = reader.take(UInt8.self), let method = reader.take(UInt8.self),
            let nic = reader.take(UInt8.self), let bounce = reader.take(UInt8.self),
            let digests = reader.take(UInt8.self), digests <= 1,
            let clientSeconds = reader.take(UInt32.self), let driveSeconds = reader.take(UInt32.self),
            let minimumRate = reader.take(UInt64.self),
            slotCount > 0, slotBytes > 0, blockBytes > 0, memory < MemoryKind.allCases.count,
            method < Method.allCases.count, nic <= 1, bounce <= 1, reader.isZero(to: ProvenMessage.bodyBytes)
        else { return nil }
        self.init(
            slotCount: slotCount, slotBytes: slotBytes, capacity: capacity, blockBytes: blockBytes,
            buffer: RemoteAddress(address: address, key: key),
            memory: MemoryKind.allCases[Int(memory)], method: Method.allCases[Int(method)],
            nic: nic == 1 ? .software : .device, isBounce: bounce == 1, hasDigests: digests == 1,
            limits: TransferLimits(
                clientSeconds: clientSeconds, driveSeconds: driveSeconds, minimumRate: minimumRate))
    }
}

/// A message of 32 bits: 4 for the kind, 12 for a slot or a code, 16 for a detail.
///
/// A chunk is none of these: it comes as a write with an immediate, which is its digest. Where the sender does not know
/// that, it is the chunk's number modulo 2 to the power of 32.
package enum Message: Equatable {
    /// The receiver of chunks has emptied a slot, or offers it for the first time.
    case credit(slot: UInt16)
    /// Everything is on stable storage.
    case done
    /// The server gives up, and why.
    case failed(Refusal.Code, errno: UInt16)
    /// The drive takes its time, and the server waits for it.
    case waiting
    /// The client has emptied its slots, and wants to have back what it has put.
    case readBack
    /// The client waits for its turn: how many are served before it, itself among them, and how long it still waits.
    case queued(position: UInt16, seconds: UInt16)

    var immediate: UInt32 {
        switch self {
        case .credit(let slot): 2 << 28 | UInt32(slot) << 16
        case .done: 3 << 28
        case .failed(let code, let errno): 4 << 28 | UInt32(code.rawValue) << 16 | UInt32(errno)
        case .waiting: 5 << 28
        case .readBack: 6 << 28
        case .queued(let position, let seconds): 7 << 28 | UInt32(min(position, 0xfff)) << 16 | UInt32(seconds)
        }
    }

    /// Reads an immediate; nil for one that this protocol does not have.
    package init?(immediate: UInt32) {
        let slot = UInt16(immediate >> 16 & 0xfff)
        let low = UInt16(truncatingIfNeeded: immediate)
        switch immediate >> 28 {
        case 2 where low == 0: self = .credit(slot: slot)
        case 3 where slot == 0 && low == 0: self = .done
        case 4:
            guard slot <= 255, let code = Refusal.Code(rawValue: UInt8(slot)) else { return nil }
            self = .failed(code, errno: low)
        case 5 where slot == 0 && low == 0: self = .waiting
        case 6 where slot == 0 && low == 0: self = .readBack
        case 7 where slot > 0: self = .queued(position: slot, seconds: low)
        default: return nil
        }
    }
}
