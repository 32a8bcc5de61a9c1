// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import TestSupport
import Testing

@testable import PeerMR

/// What is remembered until a device comes or goes, also where that happens while it is worked out.
@Suite struct EventCacheTests {
    private let folder = TemporaryFolder()

    init() { count(100) }

    private func count(_ events: Int) { folder.file("sys/kernel/uevent_seqnum", "\(events)\n") }

    private func cache() -> EventCache<Int, String> { EventCache(root: folder.root, interval: 0) }

    /// What is known, or else this.
    private func value(_ key: Int, in cache: EventCache<Int, String>, _ new: String) throws -> String {
        try cache.value(for: key) { new }
    }

    @Test func isWorkedOutOnceForEachKey() throws {
        let cache = cache()
        #expect(try value(1, in: cache, "one") == "one")
        #expect(try value(2, in: cache, "two") == "two")
        #expect(try value(1, in: cache, "another") == "one")
        #expect(try value(2, in: cache, "another") == "two")
    }

    @Test func anEventEndsIt() throws {
        let cache = cache()
        _ = try cache.value(for: 1) { "one" }
        count(101)
        #expect(try value(1, in: cache, "after") == "after")
        #expect(try value(1, in: cache, "another") == "after")
    }

    /// The driver is read, the device is unbound, and then what was read is remembered.
    @Test func whatWasReadBeforeAnEventIsNotKept() throws {
        let cache = cache()
        let stale = try cache.value(for: 1) {
            count(101)
            return "before"
        }
        #expect(stale == "before")
        #expect(try value(1, in: cache, "after") == "after")
    }

    /// As before; and another thread has seen the event, and looked for itself, when it is remembered.
    @Test func whatAnotherThreadHasReadSinceStays() throws {
        let cache = cache()
        _ = try cache.value(for: 1) { () throws(PeerMRError) in
            count(101)
            _ = try cache.value(for: 1) { "after" }
            _ = try cache.value(for: 2) { "two" }
            return "before"
        }
        #expect(try value(1, in: cache, "another") == "after")
        #expect(try value(2, in: cache, "another") == "two")
    }

    @Test func withoutACountNothingIsKept() throws {
        let cache = cache()
        _ = try cache.value(for: 1) { "one" }
        folder.file("sys/kernel/uevent_seqnum", "?")
        #expect(try value(1, in: cache, "two") == "two")
        #expect(try value(1, in: cache, "three") == "three")
    }

    @Test func aFailureIsNotKept() throws {
        let cache = cache()
        let refusal = PeerMRError(.notFound, reason: "gone", remedy: nil)
        #expect(throws: refusal) { _ = try cache.value(for: 1) { () throws(PeerMRError) in throw refusal } }
        #expect(try value(1, in: cache, "one") == "one")
    }
}
