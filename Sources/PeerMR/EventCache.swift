// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import PeerMRCore
internal import Synchronization

/// What was worked out from the state of the machine, until the kernel counts an event of any device.
///
/// Each entry carries the count from before its facts were read, and is used only as long as that is the count: a
/// device that goes while its facts are read leaves nothing behind. A count is used for a millisecond before it is
/// read again. Where it cannot be read nothing is kept.
final class EventCache<Key: Equatable & Sendable, Value: Sendable>: Sendable {
    private struct Entry {
        let key: Key
        let value: Value
        let events: UInt64
    }

    private struct State {
        // A few: comparing each costs less than hashing.
        var entries: [Entry] = []
        var events: UInt64?
        var lookedAt: UInt64 = 0
    }

    private let events: UeventSequence
    private let interval: UInt64
    private let state = Mutex(State())

    /// - Parameter interval: how long a count is used, in nanoseconds.
    init(root: SystemRoot, interval: UInt64 = UeventSequence.intervalNanoseconds) {
        events = UeventSequence(root: root)
        self.interval = interval
    }

    /// What is known for a key, or what `make` works out. Several threads may work the same out at once.
    ///
    /// - Throws: as `make` does; then nothing is kept.
    func value(for key: Key, make: () throws(PeerMRError) -> Value) throws(PeerMRError) -> Value {
        let now = coarseMonotonicNanoseconds()
        let known = state.withLock { state -> Value? in
            if now &- state.lookedAt >= interval {
                state.lookedAt = now
                state.events = events.now()
            }
            // By place: entries are not copied, nor what they refer to.
            for place in state.entries.indices
            where state.entries[place].key == key && state.entries[place].events == state.events {
                return state.entries[place].value
            }
            return nil
        }
        if let known { return known }
        let before = events.now()
        let made = try make()
        if let before { keep(Entry(key: key, value: made, events: before)) }
        return made
    }

    private func keep(_ entry: Entry) {
        state.withLock { state in
            // Another thread has seen an event since.
            if let seen = state.events, entry.events < seen { return }
            state.events = entry.events
            state.entries.removeAll { $0.key == entry.key || $0.events != entry.events }
            state.entries.append(entry)
        }
    }
}
