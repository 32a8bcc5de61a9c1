// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// Whose a work request is, where connections share a completion queue: a place at the server, and how often that has
/// been given away, in the upper 24 bits of a request ID.
///
/// A completion may outlive its queue pair, and come when another client has the place.
struct Seat: Equatable {
    /// There are fewer places than this.
    static let limit = 1 << 12
    private static let shift: UInt64 = 40

    let bits: UInt64

    /// That of a connection with a queue of its own.
    static let only = Seat(bits: 0)

    private init(bits: UInt64) { self.bits = bits }

    init(_ index: Int, generation: UInt16) {
        bits = (UInt64(generation & 0xfff) << 12 | UInt64(index)) << Self.shift
    }

    /// Whose a completion is.
    init(requestID: UInt64) { bits = (requestID >> Self.shift) << Self.shift }

    var index: Int { Int(bits >> Self.shift & 0xfff) }
}

/// What clients want the server to look at, so that it need not look at all of them each time.
final class Attention {
    /// A session's connection is down, or its last operation has ended: it may be over.
    var isDue = false
    /// A client that is not served has said something, or has gone.
    var hasGreeting = false
}

/// A client at the server, from its connection request to the end of its connection.
///
/// Of the two that there are, ``Greeting`` is a client that is not served yet, ``Session`` one that is.
class Guest {
    let client: String
    let connection: Connection
    let link: Link

    init(client: String, connection: Connection, link: Link) {
        self.client = client
        self.connection = connection
        self.link = link
    }

    /// Takes a completion of its queue pair.
    final func hear(_ completion: Completion, at now: UInt64) {
        do throws(PeerMRError) {
            _ = try link.handle(completion, at: now) { tag, completion throws(PeerMRError) in
                try take(tag, completion)
            }
        } catch { fail(error) }
    }

    /// Takes what the client has said or what has become of a request.
    func take(_ tag: Tag, _ completion: Completion) throws(PeerMRError) {}
    /// Takes it that the connection is of no use any more.
    func fail(_ error: PeerMRError) {}
}

/// The completion queue of all connections of a server, and who has which seat.
final class SharedQueue {
    let channel: CompletionChannel
    let queue: CompletionQueue
    private var batch = CompletionBatch(capacity: 64)
    private(set) var guests: [Guest?]
    private var generations: [UInt16]
    /// Whether some queue pair was found broken, and its guest is to be told.
    private var hasBroken = false

    /// - Parameters:
    ///   - seats: how many connections there are at most, below ``Seat/limit``.
    ///   - capacity: the completions that there can be at once.
    init(_ context: Context, seats: Int, capacity: Int) throws(PeerMRError) {
        channel = try CompletionChannel(context)
        queue = try CompletionQueue(context, capacity: capacity, channel: channel)
        guests = Array(repeating: nil, count: seats)
        generations = Array(repeating: 0, count: seats)
    }

    /// A seat that nobody has; nil where all are taken.
    func freeSeat() -> Seat? {
        guard let index = guests.firstIndex(where: { $0 == nil }) else { return nil }
        generations[index] &+= 1
        return Seat(index, generation: generations[index])
    }

    /// Gives a guest its seat, in place of who had it.
    func sit(_ guest: Guest) { guests[guest.link.seat.index] = guest }

    /// Takes the seat of a guest away; what is still in the queue of it is nobody's.
    func dismiss(_ guest: Guest) {
        if guests[guest.link.seat.index] === guest { guests[guest.link.seat.index] = nil }
    }

    /// Asks for one event on the channel when the next completion comes.
    func request() throws(PeerMRError) {
        do { try queue.requestNotification() } catch { throw .post("ibv_req_notify_cq", error) }
    }

    /// Takes what is there, up to a full queue's worth, and lets each guest have its own.
    ///
    /// - Returns: whether there was anything.
    /// - Throws: the errno of the queue, which is of no use any more.
    func poll() throws(PeerMRError) -> Bool {
        let any = try queue.take(into: &batch) { completion, now in deliver(completion, now) }
        if hasBroken { tellOfBroken() }
        return any
    }

    private func deliver(_ completion: Completion, _ now: UInt64) {
        let seat = Seat(requestID: completion.requestID)
        guard seat.index < guests.count, let guest = guests[seat.index], guest.link.seat == seat else { return }
        if completion.status != .success { hasBroken = true }
        guest.hear(completion, at: now)
    }

    /// What has come before and after it counts, too, and has been taken.
    private func tellOfBroken() {
        hasBroken = false
        for guest in guests {
            guard let guest, let broken = guest.link.broken else { continue }
            guest.fail(.lost(broken))
        }
    }
}
