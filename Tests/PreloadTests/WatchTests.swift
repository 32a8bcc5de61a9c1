// SPDX-License-Identifier: Apache-2.0

import Testing

/// What the preload library refuses or reports of a program's posts, over fakes.
@Suite struct WatchTests {
    private let harness: PreloadHarness

    init() throws { harness = try PreloadHarness.shared.get() }

    private let whole = ["PEERMR_WHOLE_PAGES": "1"]

    /// Each goes to the provider as it is.
    @Test(arguments: [
        "send=o0+8192", "send=o4096+100,h0+64", "send=h0+4096,o0+8192", "send=h0+64,o0+4032", "send=o0+0",
        "send=h64+100", "inline=o64+8>x0", "write=h64+8192>o4096", "write=h0+64>x64", "read=o0+8192>o8192",
        "atomic=h8+8>o8",
        "recv=o0+8192", "recv=h64+40,o0+4056", "srq=o0+8192", "datagram=h0+40,o0+4096", "window=o4096+64",
        "bind=o0+4096", "wr=o0+8192", "wr=h0+64>o4096", "wr-inline=h0+64>o0", "batch=h0+4096,o0+8192",
        "send=o0+64/h1+1/o4096+64",
    ])
    func whatIsRightGoesThrough(_ post: String) throws {
        let found = try harness.watch([post])
        let count = post.split(separator: "/").count
        #expect(found.lines == ["own registered", "\(post): 0 bad -1 posted \(count)"])
        #expect(found.said.isEmpty)
    }

    /// Each would be moved wrongly; of a list, what comes before is posted, as verbs have it.
    @Test(arguments: [
        ("send=o64+100", 0, 0, "begin 64 bytes inside a page"), ("send=h0+64,o0+4033", 0, 0, "follow 64 bytes"),
        ("send=h0+64,o0+8192", 0, 0, "follow 64 bytes"), ("send=h0+64/o0+64/o1+1/h0+1", 2, 2, "begin 1 bytes inside"),
        ("write=h0+64>o64", 0, 0, "this process's own remote key"), ("read=o8+8>x0", 0, 0, "(lkey 0x102)"),
        ("atomic=o8+8>x8", 0, 0, "begin 8 bytes inside a page"), ("recv=o0+64/o64+1", 1, 1, "1 bytes received at"),
        ("srq=o64+1", 0, 0, "ibv_post_srq_recv"), ("datagram=o0+4096", 0, 0, "header of 40 bytes"),
        ("window=o512+4096", 0, 0, "begin 512 bytes"), ("bind=o512+4096", -1, 0, "ibv_bind_mw"),
        ("wr=o64+64", -1, 0, "ibv_wr_complete"), ("batch=h0+64/h0+64,o0+8192/h0+1", -1, 0, "follow 64 bytes"),
        ("wr-inline=h0+64>o64", -1, 0, "own remote key"),
    ])
    func whatIsWrongIsRefused(_ post: String, _ bad: Int, _ posted: Int, _ words: String) throws {
        let found = try harness.watch([post])
        #expect(found.lines == ["own registered", "\(post): 22 bad \(bad) posted \(posted)"])
        #expect(found.said.contains(words), "\(found.said)")
        #expect(found.said.contains("refused (EINVAL)"))
        // Reported, it is posted whole; at the end it is counted.
        let count = post.split(separator: "/").count
        let told = try harness.watch([post], whole.merging(["PEERMR_WATCH": "report"]) { $1 })
        #expect(told.lines == ["own registered", "\(post): 0 bad -1 posted \(count)"])
        #expect(told.said.contains("let through: "))
        #expect(told.said.contains("peermr-preload: watch: let through 1 "))
        let off = try harness.watch([post], whole.merging(["PEERMR_WATCH": "off"]) { $1 })
        #expect(off.lines == told.lines)
        #expect(off.said.isEmpty)
    }

    /// A device that does the DMA itself keeps its calls; so does one whose regions nobody watches.
    @Test func noCostWhereNoGuardIsNeeded() throws {
        let own = "calls of the provider, the provider, the provider"
        #expect(try harness.watch(["ops"], memory: "p2pmem").lines.last == own)
        #expect(try harness.watch(["ops"], whole.merging(["PEERMR_WATCH": "off"]) { $1 }).lines.last == own)
        #expect(try harness.watch(["later", "mtu=4096", "ops"]).lines.last == own)
        #expect(try harness.watch(["ops"]).lines.last == "calls of the watch, the watch, the watch")
    }

    /// Its key may be the host's next time; where deregistering fails it is watched on.
    @Test func aRegionThatIsGone() throws {
        let found = try harness.watch(["dereg", "send=o64+100", "again", "send=o64+100"])
        #expect(
            found.lines == [
                "own registered", "dereg 0", "send=o64+100: 0 bad -1 posted 1", "own registered",
                "send=o64+100: 22 bad 0 posted 0",
            ])
        let busy = try harness.watch(["dereg", "send=o64+100"], whole.merging(["FAKE_BUSY": "1"]) { $1 })
        #expect(busy.lines == ["own registered", "dereg 16", "send=o64+100: 22 bad 0 posted 0"])
    }

    /// What is so for all registrations is said of the first; each has its own line all the same.
    @Test func whatHoldsForAllIsSaidOnce() throws {
        let found = try harness.watch(["dereg", "again", "dereg", "again"], whole.merging(["PEERMR_VERBOSE": "1"]) { $1 })
        let said = found.said.split(separator: "\n")
        #expect(said.filter { $0.contains("are watched; those of peers are not seen here") }.count == 1)
        #expect(said.filter { $0.contains(" failed (Bad address): it is p2pmem; registered by ") }.count == 3)
        #expect(said.filter { $0.contains("failed (Bad address): this process's") }.isEmpty)
        #expect(try harness.watch(["dereg"]).said.isEmpty)
    }

    @Test func smallPackets() throws {
        let found = try harness.watch(["mtu=1024", "mtu=4096", "send=o0+8192"])
        #expect(found.lines == ["own registered", "modify 22", "modify 0", "send=o0+8192: 0 bad -1 posted 1"])
        #expect(found.said.contains("path MTU of 1024 refused (EINVAL)"))
        // A queue pair that was there before: the region is not given.
        let before = try harness.watch(["later", "mtu=1024", "again"], whole.merging(["PEERMR_VERBOSE": "1"]) { $1 })
        #expect(before.lines == ["modify 0", "own refused"])
        #expect(before.said.contains("a queue pair of its protection domain has a path MTU of 1024"))
        // And one that is gone.
        let gone = try harness.watch(["later", "mtu=1024", "destroy", "again"])
        #expect(gone.lines == ["modify 0", "destroy 0", "own registered"])
        // Reported, its requests are judged by it.
        let told = try harness.watch(
            ["mtu=1024", "send=o0+8192", "send=o0+1024", "send=h0+1000,o0+25"],
            whole.merging(["PEERMR_WATCH": "report"]) { $1 })
        #expect(told.said.contains("8192 bytes at"))
        #expect(told.said.contains("packets of 1024 bytes, the path MTU"))
        #expect(told.said.contains("let through 2 local entries (8217 bytes)"))
        #expect(told.said.contains("that were right: 1\n"))
    }

    /// A queue pair that was modified where nobody saw it is asked.
    @Test func aPathMTUThatWasNotSeen() throws {
        let post = "send=o0+8192"
        let found = try harness.watch(["second", post, post, "asked", "mtu=4096", "second", post, "asked"])
        let posted = "\(post): 0 bad -1 posted 1"
        #expect(
            found.lines == [
                "own registered", posted, posted, "asked 1 times", "modify 0", posted, "asked 2 times",
            ])
    }

    /// The peer of an owner: nothing of its own, and what it can say is possible, by key.
    @Test func thePeerReports() throws {
        let posts = ["later", "mtu=4096", "write=h0+64>x64", "read=h0+8192>x8192", "write=h0+64>x1", "wr=h0+64>x7"]
        let found = try harness.watch(posts, ["PEERMR_WATCH": "report"])
        #expect(found.lines.allSatisfy { $0 == "modify 0" || $0.hasSuffix(": 0 bad -1 posted 1") })
        #expect(found.said.split(separator: "\n").count == 2, "\(found.said)")
        #expect(found.said.contains("(remote key 0x99) begin 64 bytes inside a page"))
        #expect(found.said.contains("if its owner pages that memory so"))
        #expect(found.said.contains("remote key 0x99: 3 of 4 requests (192 bytes)"))
        #expect(found.said.contains("they are right for any other memory"))
    }

    /// Memory that the user names is the owner's: refused if asked to.
    @Test func thePeerRefuses() throws {
        let posts = ["later", "mtu=4096", "write=h0+64>x64", "read=h0+8192>x8192", "wr=h0+64>x7"]
        let refused = [
            "modify 0", "write=h0+64>x64: 22 bad 0 posted 0", "read=h0+8192>x8192: 0 bad -1 posted 1",
            "wr=h0+64>x7: 22 bad -1 posted 0",
        ]
        for named in ["99", "0x99", "1,40000000-40000fff", "all"] {
            let found = try harness.watch(posts, ["PEERMR_WATCH": "refuse", "PEERMR_WATCH_REMOTE": named])
            #expect(found.lines == refused, "\(named)")
            #expect(found.said.contains("the watched remote key 0x99"))
        }
        for named in ["98", "40001000-40002000", ""] {
            let found = try harness.watch(posts, ["PEERMR_WATCH": "refuse", "PEERMR_WATCH_REMOTE": named])
            #expect(found.lines.allSatisfy { $0 == "modify 0" || $0.hasSuffix(": 0 bad -1 posted 1") }, "\(named)")
            #expect(found.said.isEmpty)
        }
        let odd = try harness.watch(posts, ["PEERMR_WATCH": "refuse", "PEERMR_WATCH_REMOTE": "1-,9x,5-4,99"])
        #expect(odd.lines == refused)
        #expect(odd.said.components("is neither all nor KEY nor FIRST-LAST") == 3)
    }

    @Test func aWordThatIsNone() throws {
        let found = try harness.watch(["send=o64+100"], whole.merging(["PEERMR_WATCH": "loud"]) { $1 })
        #expect(found.lines.last == "send=o64+100: 22 bad 0 posted 0")
        #expect(found.said.contains("PEERMR_WATCH: 'loud' is none of refuse, report and off"))
    }

    /// Not a line for each of thousands.
    @Test func itDoesNotFlood() throws {
        let found = try harness.watch([String](repeating: "send=o64+100", count: 2000))
        #expect(found.lines.filter { $0 == "send=o64+100: 22 bad 0 posted 0" }.count == 2000)
        #expect(found.said.split(separator: "\n").count < 12, "\(found.said)")
        #expect(found.said.contains("refused 2000 local entries (200000 bytes)"))
    }

    @Test func manyThreads() throws {
        let found = try harness.watch(["threads", "send=o64+100", "send=o0+100"])
        #expect(
            found.lines == [
                "own registered", "all as expected", "send=o64+100: 22 bad 0 posted 0",
                "send=o0+100: 0 bad -1 posted 1",
            ])
        #expect(found.said.contains("refused 40001 local entries"))
    }

    /// While another thread changes what the watch knows.
    @Test func forksOfAThread() throws {
        #expect(try harness.watch(["forks"]).lines == ["own registered", "all children ended"])
    }

    /// A child counts for itself.
    @Test func aForkedChild() throws {
        let found = try harness.watch(["send=o64+100", "fork", "send=o64+77"])
        #expect(found.lines.contains("send=o64+77: 22 bad 0 posted 0"))
        #expect(found.said.contains("refused 1 local entries (77 bytes)"))
        #expect(found.said.contains("refused 1 local entries (100 bytes)"))
    }
}

extension String {
    /// How often a text is in it.
    fileprivate func components(_ text: String) -> Int {
        var rest = self[...]
        var count = 0
        while let range = rest.firstRange(of: text) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
