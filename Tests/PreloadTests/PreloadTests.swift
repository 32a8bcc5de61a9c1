// SPDX-License-Identifier: Apache-2.0

import Testing

/// What a program meets that runs with the preload library: over fakes of libibverbs and libpeermr.
@Suite struct PreloadTests {
    private let harness: PreloadHarness

    init() throws { harness = try PreloadHarness.shared.get() }

    private let efault = "14"
    private let ours = "region address+0 length 8192 errno 77"

    @Test func whatWorksIsLeftAlone() throws {
        for command in ["plain", "macro", "iova", "ex"] {
            let bare = try harness.run(command, preloaded: false)
            let found = try harness.run(command, ["PEERMR_VERBOSE": "1"])
            #expect(found.lines == bare.lines, "\(command)")
            #expect(found.lines.first == ours)
            #expect(found.lines.last == "peermr not loaded registered 0 deregistered 0 detached 0")
            #expect(found.said.isEmpty)
        }
    }

    /// A filter kills the program at the first system call.
    @Test func whatWorksMakesNoSystemCall() throws {
        let found = try harness.run("quiet")
        #expect(found.code == 0)
        #expect(found.lines == ["no system call"])
    }

    @Test(arguments: ["plain", "macro", "iova", "ex"], ["p2pmem", "dmabuf"])
    func whatFailsIsRegisteredByPeerMR(_ command: String, _ memory: String) throws {
        let bare = try harness.run(command, ["FAKE_ERRNO": efault], preloaded: false)
        #expect(bare.lines.first == "NULL errno 14")
        let found = try harness.run(command, ["FAKE_ERRNO": efault, "FAKE_PEERMR": memory])
        #expect(found.lines.first == ours, "as ibv_reg_mr leaves it, errno untouched")
        #expect(found.lines.contains("dereg 0"))
        #expect(found.lines.last == "peermr loaded registered 1 deregistered 0 detached 1")
        #expect(found.said.isEmpty, "silent unless asked")
    }

    @Test(arguments: ["14", "22", "95", "121", "12", "1"])
    func theErrnoStaysWherePeerMRCannotEither(_ errno: String) throws {
        for command in ["plain", "macro", "iova", "ex"] {
            let found = try harness.run(command, ["FAKE_ERRNO": errno, "FAKE_PEERMR": "fail", "PEERMR_VERBOSE": "1"])
            #expect(found.lines.first == "NULL errno \(errno)")
            #expect(found.lines.last == "peermr loaded registered 1 deregistered 0 detached 0")
            #expect(found.said.contains("PeerMR cannot register it either: the fake refuses\n"))
        }
    }

    /// Nothing is loaded for it: programs register memory to see whether they can.
    @Test func memoryOfTheHostIsNotLookedAtTwice() throws {
        let variables = ["FAKE_ERRNO": "12", "FAKE_PEERMR": "p2pmem", "PEERMR_VERBOSE": "1"]
        let found = try harness.run("plain", variables, file: nil)
        #expect(found.lines.first == "NULL errno 12")
        #expect(found.lines.last == "peermr not loaded registered 0 deregistered 0 detached 0")
        #expect(found.said.contains("it is memory of the host"))
        // By its name it was a pool, and PeerMR knows better.
        let other = try harness.run("plain", variables.merging(["FAKE_PEERMR": "host"]) { $1 })
        #expect(other.lines.first == "NULL errno 12")
        #expect(other.lines.last == "peermr loaded registered 1 deregistered 1 detached 0")
        #expect(other.said.contains("it is memory of the host"))
    }

    @Test func memoryThatIsNotThere() throws {
        let variables = ["FAKE_ERRNO": efault, "FAKE_PEERMR": "p2pmem", "PEERMR_VERBOSE": "1"]
        for command in ["unmapped", "wrap"] {
            let found = try harness.run(command, variables, file: nil)
            #expect(found.lines.first == "NULL errno 14")
            #expect(found.lines.last == "peermr not loaded registered 0 deregistered 0 detached 0")
            #expect(found.said.contains("not all of it is mapped"))
        }
        // Peer memory and what lies beside it: PeerMR says what is wrong.
        let beyond = try harness.run("beyond", variables.merging(["FAKE_PEERMR": "fail"]) { $1 })
        #expect(beyond.lines.last == "peermr loaded registered 1 deregistered 0 detached 0")
    }

    /// PeerMR has words for a driver's mapping; where nobody wants to hear them it is not asked.
    @Test func aDriversMapping() throws {
        var variables = ["FAKE_ERRNO": efault, "FAKE_PEERMR": "fail"]
        let silent = try harness.run("plain", variables, file: "/dev/zero")
        #expect(silent.lines.last == "peermr not loaded registered 0 deregistered 0 detached 0")
        variables["PEERMR_VERBOSE"] = "1"
        let found = try harness.run("plain", variables, file: "/dev/zero")
        #expect(found.lines.first == "NULL errno 14")
        #expect(found.said.contains("PeerMR cannot register it either: the fake refuses"))
    }

    @Test func itSaysWhatItDid() throws {
        let found = try harness.run("plain", ["FAKE_ERRNO": efault, "FAKE_PEERMR": "p2pmem", "PEERMR_VERBOSE": "1"])
        #expect(found.said.hasPrefix("peermr-preload: ibv_reg_mr of 8192 bytes at 0x"))
        #expect(
            found.said.hasSuffix(
                " on fake0 failed (Bad address): it is p2pmem of 0000:01:00.0; registered by the method onDemand "
                    + "instead, with lkey 0x7 and rkey 0x0\n"))
        let zero = try harness.run("plain", ["FAKE_ERRNO": efault, "FAKE_PEERMR": "p2pmem", "PEERMR_VERBOSE": "0"])
        #expect(zero.said.isEmpty)
        #expect(zero.lines.first == ours)
    }

    /// Engines refuse on-demand paging on some mlx5 devices; what they would do is said, and can be had.
    @Test func againstAnEnginesChoice() throws {
        var variables = [
            "FAKE_ERRNO": efault, "FAKE_PEERMR": "p2pmem", "PEERMR_VERBOSE": "1", "FAKE_DEVICE": "mlx5_0",
        ]
        let found = try harness.run("plain", variables)
        #expect(found.lines.first == ours)
        #expect(found.said.contains("mlx5_0 pages peer memory on demand, against what engines such as UCX choose"))
        variables["PEERMR_ON_DEMAND"] = "0"
        let left = try harness.run("plain", variables)
        #expect(left.lines.first == "NULL errno 14")
        #expect(left.lines.last == "peermr loaded registered 1 deregistered 1 detached 0")
        #expect(left.said.contains("PEERMR_ON_DEMAND=0 is set"))
        // A dma-buf needs none.
        variables["FAKE_PEERMR"] = "dmabuf"
        #expect(try harness.run("plain", variables).lines.first == ours)
    }

    @Test func withoutPeerMRNothingChanges() throws {
        let found = try harness.run("plain", ["FAKE_ERRNO": efault, "PEERMR_VERBOSE": "1"], alone: true)
        #expect(found.lines.first == "NULL errno 14")
        #expect(found.said.contains("PeerMR cannot be loaded: libpeermr.so.0: cannot open shared object file"))
    }

    /// It has the name, and not the calls.
    @Test func aLibraryOfAnotherVersion() throws {
        let found = try harness.run("plain", ["FAKE_ERRNO": efault, "PEERMR_VERBOSE": "1"], isOld: true)
        #expect(found.lines.first == "NULL errno 14")
        #expect(found.said.contains("PeerMR cannot be loaded: libpeermr.so.0 lacks calls"))
    }

    /// A device that would move data wrongly, and report success, gets none that it could.
    @Test func wholePagesAreToBeVouchedFor() throws {
        var variables = ["FAKE_ERRNO": efault, "FAKE_PEERMR": "pages", "PEERMR_VERBOSE": "1"]
        let found = try harness.run("plain", variables)
        #expect(found.lines.first == "NULL errno 14")
        #expect(found.lines.last == "peermr loaded registered 1 deregistered 1 detached 0")
        #expect(found.said.contains("set PEERMR_WHOLE_PAGES=1"))
        variables["PEERMR_WHOLE_PAGES"] = "1"
        let vouched = try harness.run("plain", variables)
        #expect(vouched.lines.first == ours)
        #expect(vouched.said.contains("registered by the method onDemand"))
        // What is wrong for sure stays refused.
        let odd = try harness.run("odd", variables)
        #expect(odd.lines.first == "NULL errno 14")
        #expect(odd.said.contains("begins in between"))
        variables["FAKE_MTU"] = "3"
        let small = try harness.run("plain", variables)
        #expect(small.lines.first == "NULL errno 14")
        #expect(small.said.contains("in packets of 4096 bytes, and has no port with that MTU"))
    }

    /// Nobody can vouch for packets that are smaller than pages.
    @Test func largePagesAreRefusedInAnyCase() throws {
        let variables = [
            "FAKE_ERRNO": efault, "FAKE_PEERMR": "large pages", "PEERMR_VERBOSE": "1", "PEERMR_WHOLE_PAGES": "1",
        ]
        let found = try harness.run("plain", variables)
        #expect(found.lines.first == "NULL errno 14")
        #expect(found.lines.last == "peermr loaded registered 1 deregistered 1 detached 0")
        #expect(found.said.contains("only from multiples of 65536 bytes on, and its packets have 4096"))
    }

    @Test func whatIsNoMemoryIsNotLookedAt() throws {
        for command in ["zero-based", "everything", "ex-descriptor"] {
            let found = try harness.run(command, ["FAKE_ERRNO": "22", "FAKE_PEERMR": "p2pmem"])
            #expect(found.lines.first == "NULL errno 22")
            #expect(found.lines.last == "peermr not loaded registered 0 deregistered 0 detached 0")
        }
    }

    /// The first ABI of libibverbs had other structs under the same name.
    @Test func theCallOf2006IsNotOurs() throws {
        let found = try harness.run("2006", ["FAKE_ERRNO": efault, "FAKE_PEERMR": "p2pmem"])
        #expect(found.lines.first == "NULL errno 14")
        #expect(found.lines.contains { $0.hasSuffix("of 2006 1") })
        #expect(found.lines.last == "peermr not loaded registered 0 deregistered 0 detached 0")
    }

    private let once = "its libibverbs was asked 1 times"

    /// libibverbs is not among the libraries that the program was started with.
    @Test func aPluginThatBringsLibibverbs() throws {
        let works = try harness.plug("plugin")
        #expect(works.lines.prefix(2) == [ours, once])
        let found = try harness.plug("plugin", variables: ["FAKE_ERRNO": efault, "FAKE_PEERMR": "p2pmem"])
        #expect(found.lines.first == ours)
        #expect(found.lines.last == "peermr loaded registered 1 deregistered 0 detached 1")
    }

    /// Wheels bring a libibverbs of another name, which no other object sees.
    @Test func aPluginWithALibibverbsOfAnotherName() throws {
        let works = try harness.plug("wheel")
        #expect(works.lines == [ours, once, "peermr not loaded registered 0 deregistered 0 detached 0"])
        let found = try harness.plug("wheel", variables: ["FAKE_ERRNO": efault, "FAKE_PEERMR": "p2pmem"])
        #expect(found.lines == [ours, once, "peermr loaded registered 1 deregistered 0 detached 1"])
    }

    /// Each is asked by the object that depends on it.
    @Test(arguments: [["plugin", "wheel"], ["wheel", "plugin"]])
    func twoLibibverbs(_ plugins: [String]) throws {
        let found = try harness.plug(plugins[0], plugins[1])
        #expect(found.lines.prefix(4) == [ours, once, ours, once])
    }

    @Test func aProgramThatUsesPeerMRItself() throws {
        let found = try harness.run("itself", ["FAKE_ERRNO": efault, "FAKE_PEERMR": "p2pmem"])
        #expect(found.lines.first == "status 2", "its own registration fails as it does without this library")
        #expect(found.lines.last == "peermr loaded registered 0 deregistered 0 detached 0")
    }

    @Test func manyThreads() throws {
        let found = try harness.run("threads", ["FAKE_ERRNO": efault, "FAKE_PEERMR": "p2pmem"])
        #expect(found.lines.first == "all worked")
        #expect(found.lines.last == "peermr loaded registered 16000 deregistered 0 detached 16000")
    }

    @Test func aForkedChild() throws {
        let found = try harness.run("fork", ["FAKE_ERRNO": efault, "FAKE_PEERMR": "p2pmem"])
        #expect(found.lines.first?.hasPrefix("region address+0 length 8192") == true)
    }
}
