// SPDX-License-Identifier: Apache-2.0

import Crypto
import Glibc
import PeerMR
import SystemPackage

/// What a finished transfer has to say.
struct Outcome {
    var welcome: Welcome
    var byteCount: UInt64
    /// From the first credit to the last acknowledgement.
    var seconds: Double
    /// SHA-256 of the bytes received, in hexadecimal; nil for `put`.
    var digest: String?
}

/// Sends a file: chunk by chunk into the slots that the server offers.
///
/// - Parameter file: read at absolute offsets, from 0 to `byteCount`.
func put(
    _ file: FileDescriptor, byteCount: UInt64, at offset: UInt64, _ options: ClientOptions
) throws(CallError) -> Outcome {
    let client = try Client(options, .put, offset: offset, byteCount: byteCount)
    let chunks = client.chunks
    var bar = ProgressBar("put", total: byteCount, isShown: options.showsProgress)
    let began = monotonicNanoseconds()
    var next: UInt64 = 0
    var sent: UInt64 = 0
    var isOffered = [Bool](repeating: false, count: chunks.slotCount)
    var isLoading = [Bool](repeating: false, count: chunks.slotCount)
    var isDone = false

    func sendWhatIsOffered() throws(CallError) {
        while next < chunks.count, isOffered[chunks.slot(of: next)], !isLoading[chunks.slot(of: next)] {
            let slot = chunks.slot(of: next)
            isOffered[slot] = false
            isLoading[slot] = true
            try client.load(file, chunk: next, slot: slot)
            next += 1
        }
    }

    try client.run(until: { isDone }) { tag, completion throws(CallError) in
        if tag.kind == .chunk {
            isLoading[tag.slot] = false
            sent += 1
            bar.show(min(byteCount, sent * chunks.slotBytes))
        } else {
            let message = completion.immediate.flatMap(Message.init(immediate:))
            switch message {
            case .credit(let slot) where Int(slot) < chunks.slotCount: isOffered[Int(slot)] = true
            case .done where next == chunks.count: isDone = true
            default: throw client.unexpected(message)
            }
        }
        try sendWhatIsOffered()
    }
    client.close()
    return Outcome(
        welcome: client.welcome, byteCount: byteCount,
        seconds: Double(monotonicNanoseconds() - began) / 1e9)
}

/// Receives: the server writes chunks into this client's slots, each is handed on and its slot returned.
///
/// - Parameter file: where the bytes go; nil to only compute their digest.
func get(
    _ file: borrowing OutputFile?, byteCount: UInt64, at offset: UInt64, _ options: ClientOptions
) throws(CallError) -> Outcome {
    let client = try Client(options, .get, offset: offset, byteCount: byteCount)
    let chunks = client.chunks
    var bar = ProgressBar("get", total: byteCount, isShown: options.showsProgress)
    let began = monotonicNanoseconds()
    var digest = SHA256()
    var received: UInt64 = 0
    var seconds = 0.0

    try client.run(until: { received == chunks.count }) { tag, completion throws(CallError) in
        guard tag.kind == .receive else { return }
        let message = completion.immediate.flatMap(Message.init(immediate:))
        guard case .chunk(let slot, let sequence)? = message else { throw client.unexpected(message) }
        guard Int(slot) == chunks.slot(of: received), received < chunks.count,
            sequence == UInt16(truncatingIfNeeded: received),
            UInt64(completion.byteCount) == chunks.bytes(of: received)
        else { throw .outOfTurn("chunk \(sequence) of \(completion.byteCount) bytes in slot \(slot)") }
        try client.unload(chunk: received, slot: Int(slot), to: file, &digest)
        received += 1
        if received == chunks.count { seconds = Double(monotonicNanoseconds() - began) / 1e9 }
        bar.show(min(byteCount, received * chunks.slotBytes))
        try client.link.send(.credit(slot: slot))
    }
    try client.drainMessages()
    client.close()
    return Outcome(
        welcome: client.welcome, byteCount: byteCount, seconds: seconds, digest: hexadecimal(digest.finalize()))
}
