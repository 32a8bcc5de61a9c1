// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
public import SystemPackage
public import PeerMRCore

/// A descriptor that becomes readable when a completion queue that asked for it has something new.
@safe
public final class CompletionChannel: @unchecked Sendable {
    let raw: UnsafeMutablePointer<ibv_comp_channel>
    /// The device, kept open as long as this channel lives.
    public let context: Context

    /// Opens a channel; reading from it never waits, poll(2) on ``descriptor`` does.
    ///
    /// - Throws: EMFILE, ENOMEM. The corresponding C function is `ibv_create_comp_channel`.
    public init(_ context: Context) throws(PeerMRError) {
        guard let raw = unsafe ibv_create_comp_channel(context.raw) else {
            throw .create("ibv_create_comp_channel", currentErrno(), "a completion channel", context.device)
        }
        unsafe self.raw = raw
        self.context = context
        do {
            try OwnedDescriptor.setNonBlocking(unsafe raw.pointee.fd)
        } catch {
            throw .create("fcntl", error, "a completion channel", context.device)
        }
    }

    deinit {
        _ = unsafe ibv_destroy_comp_channel(raw)
    }

    /// The descriptor to wait on.
    public var descriptor: Int32 { unsafe raw.pointee.fd }

    /// Takes the events that have come, and acknowledges them; never waits.
    ///
    /// Ask again with ``CompletionQueue/requestNotification()`` *before* the next poll, or an event may be missed.
    /// The corresponding C functions are `ibv_get_cq_event` and `ibv_ack_cq_events`.
    public func drain() {
        var queue: UnsafeMutablePointer<ibv_cq>?
        var context: UnsafeMutableRawPointer?
        while unsafe ibv_get_cq_event(raw, &queue, &context) == 0 {
            if let queue = unsafe queue { unsafe ibv_ack_cq_events(queue, 1) }
        }
    }
}

/// A completion queue.
@safe
public final class CompletionQueue: @unchecked Sendable {
    let raw: UnsafeMutablePointer<ibv_cq>
    private let context: Context
    private let channel: CompletionChannel?
    /// The entries that it holds.
    public let capacity: Int

    /// Makes a queue.
    ///
    /// - Parameters:
    ///   - context: the device, kept open as long as this queue lives.
    ///   - capacity: entries; one more than can be outstanding loses completions and breaks the queue.
    ///   - channel: what tells of new completions; nil for one that is only polled. Kept as long as this queue lives.
    /// - Throws: EINVAL above the device's limit, ENOMEM. The corresponding C function is `ibv_create_cq`.
    public init(
        _ context: Context, capacity: Int, channel: CompletionChannel? = nil
    ) throws(PeerMRError) {
        let made = unsafe ibv_create_cq(context.raw, Int32(clamping: capacity), nil, channel?.raw, 0)
        guard let made = unsafe made else {
            throw .createQueue(
                "ibv_create_cq", currentErrno(), "a completion queue of \(capacity) entries", context.device)
        }
        unsafe raw = made
        self.context = context
        self.channel = channel
        self.capacity = capacity
    }

    deinit {
        _ = unsafe ibv_destroy_cq(raw)
    }

    /// Takes completions; never waits, never allocates.
    ///
    /// - Parameter batch: where they go; what it held is gone.
    /// - Returns: how many there were; 0 where there was none.
    /// - Throws: the errno of the provider; the queue cannot be used on.
    ///   The corresponding C function is `ibv_poll_cq`.
    public func poll(into batch: inout CompletionBatch) throws(Errno) -> Int {
        let count = unsafe ibv_poll_cq(raw, Int32(batch.capacity), batch.slots)
        guard count >= 0 else {
            batch.count = 0
            throw Errno(rawValue: count == -1 ? 5 : -count)
        }
        batch.count = Int(count)
        return Int(count)
    }

    /// Asks for one event on the channel when the next completion comes.
    ///
    /// - Throws: the errno of the provider. The corresponding C function is `ibv_req_notify_cq`.
    public func requestNotification() throws(Errno) {
        let result = unsafe ibv_req_notify_cq(raw, 0)
        guard result == 0 else { throw Errno(rawValue: result) }
    }
}

/// Slots for completions, owned by the caller and made once.
@safe
public struct CompletionBatch: ~Copyable {
    let slots: UnsafeMutablePointer<ibv_wc>
    /// The most completions that one poll can bring.
    public let capacity: Int
    /// How many the last poll has brought.
    public internal(set) var count = 0

    /// Makes the slots: the one allocation.
    public init(capacity: Int) {
        self.capacity = max(1, capacity)
        unsafe slots = .allocate(capacity: self.capacity)
        unsafe slots.initialize(repeating: ibv_wc(), count: self.capacity)
    }

    deinit {
        unsafe slots.deallocate()
    }

    /// A completion of the last poll; `index` is below ``count``.
    public subscript(index: Int) -> Completion {
        precondition(index >= 0 && index < count, "a completion beyond those that were polled")
        let slot = unsafe slots + index
        // Soft-RoCE sets the flag for what was sent, too.
        let isReceive = unsafe slot.pointee.opcode.rawValue & IBV_WC_RECV.rawValue != 0
        let hasImmediate = unsafe isReceive && slot.pointee.wc_flags & IBV_WC_WITH_IMM.rawValue != 0
        return unsafe Completion(
            requestID: slot.pointee.wr_id,
            status: CompletionStatus(rawValue: slot.pointee.status.rawValue),
            operation: .init(rawValue: slot.pointee.opcode.rawValue),
            byteCount: slot.pointee.byte_len,
            immediate: hasImmediate ? peermr_wc_immediate(slot) : nil,
            vendorSyndrome: slot.pointee.vendor_err)
    }
}
