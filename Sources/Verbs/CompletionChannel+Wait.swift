// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import Glibc
public import SystemPackage

/// Waiting in one system call, for loops in which a second one would show.
///
/// The C library's call that takes an event is itself a read that can wait; a poll(2) before it is only needed by
/// programs that wait for several things at once.
extension CompletionChannel {
    /// Makes ``waitForEvent()`` wait; afterwards ``drain()`` waits, too.
    ///
    /// - Throws: the errno of fcntl(2).
    public func makeWaiting() throws(Errno) {
        let flags = fcntl(descriptor, F_GETFL)
        guard flags >= 0, fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) >= 0 else {
            throw Errno(rawValue: Glibc.errno)
        }
    }

    /// Waits for one event and takes it; acknowledge it with ``acknowledge(_:of:)`` before the queue goes.
    ///
    /// - Returns: false where a signal came first.
    /// - Throws: the errno of the read. The corresponding C function is `ibv_get_cq_event`.
    public func waitForEvent() throws(Errno) -> Bool {
        var queue: UnsafeMutablePointer<ibv_cq>?
        var context: UnsafeMutableRawPointer?
        if unsafe ibv_get_cq_event(raw, &queue, &context) == 0 { return true }
        let error = Errno(rawValue: Glibc.errno)
        guard error == .interrupted || error == .wouldBlock else { throw error }
        return false
    }

    /// Acknowledges events that ``waitForEvent()`` has taken; a queue with others is destroyed only after that.
    ///
    /// The corresponding C function is `ibv_ack_cq_events`.
    public func acknowledge(_ count: UInt32, of queue: CompletionQueue) {
        guard count > 0 else { return }
        unsafe ibv_ack_cq_events(queue.raw, count)
    }
}
