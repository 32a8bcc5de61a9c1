// SPDX-License-Identifier: Apache-2.0

internal import Synchronization
public import PeerMRCore

/// Verdicts that were worked out before, looked up again in some ten nanoseconds, until the machine changes.
///
/// **When they go stale.** The kernel counts every event of every device in `/sys/kernel/uevent_seqnum`: adding and
/// removing, binding and unbinding. When that number moves, everything cached counts as stale. It moves for other
/// things than PCI too (a network interface, a disk): a verdict may be called stale that still holds, and costs one
/// reading of sysfs then. Lookups read the number again when the kernel's clock has ticked: a change is seen by a
/// lookup some milliseconds later (10 at most, with 100 ticks a second), or at once by ``noticeChanges()``.
///
/// **What it does not see.** ACS that is changed by hand with setpci makes no event. The kernel does not look again
/// either: it keeps its own verdict on a pair until the provider's driver is unbound.
public final class RouteCache: Sendable {
    /// What a lookup finds.
    public enum Lookup: Hashable, Sendable {
        /// A verdict, and nothing has changed since it was worked out.
        case current(Verdict)
        /// A verdict from before some device came, went, or changed its driver: ask ``RouteCache/route(from:to:)``
        /// again.
        case stale(Verdict)
        /// This pair has not been asked for.
        case missing
    }

    private struct State {
        var verdicts = VerdictTable()
        var events: UInt64?
        var isStale = false
        var lookedAt: UInt64 = 0
    }

    private let root: SystemRoot
    private let sequence: UeventSequence
    private let state: Mutex<State>

    /// An empty cache for a machine.
    public init(root: SystemRoot = .live) {
        self.root = root
        sequence = UeventSequence(root: root)
        state = Mutex(State(events: sequence.now()))
    }

    /// What is known of a pair. Never reads more than one number of sysfs.
    public func lookup(from client: PCIAddress, to provider: PCIAddress) -> Lookup {
        let now = coarseMonotonicNanoseconds()
        return state.withLock { state in
            if now &- state.lookedAt >= UeventSequence.intervalNanoseconds {
                state.lookedAt = now
                look(&state)
            }
            guard let verdict = state.verdicts[client, provider] else { return .missing }
            return state.isStale ? .stale(verdict) : .current(verdict)
        }
    }

    /// Works a route out from sysfs and keeps its verdict. What was stale is forgotten.
    public func route(from client: PCIAddress, to provider: PCIAddress) -> Route {
        // Read first: an event in between makes the new verdict stale at once.
        let events = sequence.now()
        let route = Topology(root: root, around: [client, provider]).route(from: client, to: provider)
        keep(route.verdict, from: client, to: provider, asOf: events)
        return route
    }

    /// Keeps a verdict unless an event has been counted since its facts were read, and others have seen that.
    func keep(_ verdict: Verdict, from client: PCIAddress, to provider: PCIAddress, asOf events: UInt64?) {
        state.withLock { state in
            if let events, let seen = state.events, events < seen { return }
            if state.isStale || state.events != events {
                state.verdicts = VerdictTable()
                state.events = events
                state.isStale = false
            }
            state.verdicts[client, provider] = verdict
            look(&state)
        }
    }

    /// Looks for changes now.
    ///
    /// - Returns: true where what is cached is stale.
    @discardableResult
    public func noticeChanges() -> Bool {
        state.withLock { state in
            look(&state)
            return state.isStale
        }
    }

    private func look(_ state: inout State) {
        let events = sequence.now()
        // A captured machine does not change; a running one that keeps its number to itself may have, at any time.
        if events != state.events || (events == nil && root.isLive) { state.isStale = true }
    }
}
