// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import Foundation
import FoundationXML
import PeerMR
import Testing

@testable import PeerMRCommand
@testable import RegistrationBench

/// What the bench writes, for people, for programs and as a picture.
@Suite struct BenchReportTests {
    private func result(baseline: Bool = true, samples: Int = 200) throws -> BenchResult {
        var plan = BenchPlan(
            memories: [try BenchMemory("host"), try BenchMemory("fd:3")], sizes: [4096, 1 << 20, 1 << 30])
        plan.baseline = baseline
        var cells: [CellResult] = []
        for cell in plan.cells {
            var result = CellResult(cell)
            if cell.byteCount == 1 << 30, !cell.memory.isHost {
                result.refusal = PeerMRError(
                    .resourceLimit, reason: "there is \"less\", by far", remedy: "ask for less")
            } else {
                result.method = cell.memory.isHost ? .pinned : .dmaBuf
                result.pages = .base
                for index in 0..<samples {
                    let time = 10_000 + cell.byteCount / 100 + UInt64(index)
                    result.timings.register.record(time + 500)
                    result.timings.deregister.record(time / 2)
                    guard baseline else { continue }
                    result.bare.register.record(time)
                    result.bare.deregister.record(time / 2)
                    if !cell.memory.isHost { result.bareClose.record(300) }
                }
            }
            cells.append(result)
        }
        var result = BenchResult(device: "fake<0>", plan: plan, clock: BenchClock(), kernel: "7.3.4", cells: cells)
        result.rounds = 7
        result.nanoseconds = 1_500_000_000
        result.absent = [("udmabuf", PeerMRError(.notSupported, reason: "it imports no dma-bufs"))]
        return result
    }

    private func object(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test func whatPopulatingTakesIsToldApart() throws {
        var plan = BenchPlan(memories: [try BenchMemory("host")], sizes: [1 << 30])
        plan.temperatures = [.cold]
        plan.populate = true
        plan.chunkBytes = 1 << 28
        var cells: [CellResult] = []
        for cell in plan.cells {
            var result = CellResult(cell)
            result.method = .pinned
            result.timings.register.record(cell.isPopulated ? 2_000_000 : 9_000_000)
            result.timings.deregister.record(1000)
            if cell.isPopulated {
                result.timings.populate.record(4_000_000)
                result.timings.total.record(6_000_000)
            }
            cells.append(result)
        }
        let result = BenchResult(device: "fake0", plan: plan, clock: BenchClock(), kernel: "7.3.4", cells: cells)
        let json = try #require(try object(result.json.encoded)["cells"] as? [[String: Any]])
        #expect(json.map { $0["populated"] as? Bool } == [false, true])
        #expect(json.map { $0["chunkBytes"] as? Int } == [1 << 28, 1 << 28])
        #expect(json[0]["populate"] == nil)
        for (name, time) in [("populate", 4_000_000), ("register", 2_000_000), ("total", 6_000_000)] {
            #expect((json[1][name] as? [String: Any])?["p50"] as? Int == time)
        }
        let text = result.text
        #expect(text.contains("Populate, then register"))
        #expect(text.contains("4.50"), "cold by register")
        #expect(text.contains("1.50"), "cold by both")
        #expect(text.contains("in chunks of at most 256 MiB"))
        #expect(result.csv.contains("populate"))
    }

    @Test func jsonHasEveryFigure() throws {
        let json = try object(try result().json.encoded)
        #expect(json["rounds"] as? Int == 7)
        #expect(json["interrupted"] as? Bool == false)
        #expect((json["clock"] as? [String: Any])?["name"] as? String == "CLOCK_MONOTONIC_RAW")
        let cells = try #require(json["cells"] as? [[String: Any]])
        #expect(cells.count == 10)
        for cell in cells {
            let register = try #require(cell["register"] as? [String: Any])
            #expect(Set(register.keys) == ["minimum", "p50", "p99", "p999", "maximum"])
            let order = ["minimum", "p50", "p99", "p999", "maximum"].compactMap { register[$0] as? Int }
            #expect(order == order.sorted() && order.count == 5)
            #expect(cell["samples"] as? Int == 200)
            let overhead = (cell["overhead"] as? [String: Any])?["register"] as? [String: Any]
            #expect(overhead?["withinBar"] as? Bool == true)
            let bare = try #require(cell["bare"] as? [String: Any])
            #expect((bare["close"] != nil) == (cell["method"] as? String == "dmaBuf"))
        }
        let leftOut = try #require(json["leftOut"] as? [[String: Any]])
        #expect(leftOut.count == 3)
        #expect((leftOut[0]["error"] as? [String: Any])?["remedy"] as? String == "ask for less")
    }

    @Test func withoutABaselineNothingIsCompared() throws {
        let json = try object(try result(baseline: false).json.encoded)
        for cell in try #require(json["cells"] as? [[String: Any]]) {
            #expect(cell["bare"] == nil && cell["overhead"] == nil)
        }
        #expect(!(try result(baseline: false).text.contains("bare")))
    }

    @Test func csvHasARowForEachSideAndCall() throws {
        let lines = try result().csv.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.last == "", "the last line is ended")
        let fields = lines.dropLast().map { $0.split(separator: ",", omittingEmptySubsequences: false).count }
        #expect(Set(fields) == [19])
        // Six of host memory with four rows each, four of the dma-buf with five, and the heading.
        #expect(lines.count - 1 == 6 * 4 + 4 * 5 + 1)
    }

    @Test func theTableSaysWhatWasLeftOut() throws {
        let text = try result().text
        for part in [
            "Register, in µs", "Deregister, in µs", "bare p50", "1 GiB", "there is \"less\", by far", "udmabuf",
        ] {
            #expect(text.contains(part), "\(part)")
        }
        #expect(text.contains("10 of 10 registrations are within it"))
        #expect(!text.split(separator: "\n").contains { $0.hasSuffix(" ") })
    }

    @Test(arguments: [true, false]) func thePictureIsXML(_ baseline: Bool) throws {
        let result = try result(baseline: baseline)
        let gnuplot = try ExternalProgram("gnuplot -d", package: "gnuplot-nox")
        let text = try LatencyPicture.svg(
            gnuplot, csv: result.csv, hgrm: nil, title: result.device, subtitle: result.head)
        let parser = XMLParser(data: Data(text.utf8))
        #expect(parser.parse(), "\(String(describing: parser.parserError))")
        #expect(text.contains("fake&lt;0") && text.contains("Linux 7.3.4"))
        #expect(text.contains("bare") == baseline)
        #expect(!text.contains("nan") && !text.contains("inf"))
    }

    @Test func aDistributionForEachRow() throws {
        let result = try result()
        let names = result.hgrm.split(separator: "\n").filter { $0.hasPrefix("# ") && !$0.hasPrefix("#[") }
        #expect(names.count == result.csv.split(separator: "\n").count - 1)
        #expect(names.first == "# fake<0>, host, pinned, 4096, cold, base, 0, 1, peermr, register")
    }

    @Test func nothingMeasuredIsSaid() throws {
        var nothing = try result()
        nothing.cells = []
        #expect(nothing.text.contains("Nothing was measured"))
    }
}

/// What the bench's command line takes and refuses, before any device is touched.
@Suite struct BenchCommandLineTests {
    private func plan(_ words: String...) throws -> BenchPlan {
        try BenchRegistration.parse(["--device", "x"] + words).words()
    }

    @Test func theUsualPlanEndsByItself() throws {
        let plan = try plan()
        #expect(plan.memories.isEmpty && plan.sizes.count == 10)
        #expect(plan.temperatures == [.cold, .warm])
        #expect(plan.iterations == 1000 && plan.nanoseconds == 20_000_000_000)
    }

    @Test func oneEndThatIsNamedIsTheOnlyOne() throws {
        #expect(try plan("--iterations", "5").nanoseconds == nil)
        let timed = try plan("--seconds", "1.5")
        #expect(timed.iterations == nil && timed.nanoseconds == 1_500_000_000)
    }

    @Test func coldAndWarm() throws {
        #expect(try plan("--cold").temperatures == [.cold])
        #expect(try plan("--warm").temperatures == [.warm])
        #expect(try plan("--cold", "--warm").temperatures == [.cold, .warm])
    }

    @Test func lists() throws {
        let plan = try plan("--threads", "1,4,4", "--registered", "0,1G", "--memory", "host", "--memory", "udmabuf:1M")
        #expect(plan.threads == [1, 4])
        #expect(plan.registered == [0, 1 << 30])
        #expect(plan.memories.map(\.description) == ["host", "udmabuf"])
    }

    @Test(arguments: [
        ["--threads", "0"], ["--threads", "1,,2"], ["--threads", "x"], ["--threads", "257"], ["--iterations", "0"],
        ["--seconds", "0"], ["--seconds", "nan"], ["--seconds", "1e9"], ["--memory", "nothing"], ["--sizes", "5000"],
        ["--registered", "x"], ["--memory", "fd:3:100:4096"],
    ])
    func isRefusedWithASentence(_ words: [String]) throws {
        let command = try BenchRegistration.parse(["--device", "x"] + words)
        let error = #expect(throws: PeerMRError.self) { _ = try command.words() }
        #expect(error?.code == .invalidArgument)
        #expect(error?.remedy != nil)
    }

    @Test func badInputEndsWithTwoAndOneSentence() throws {
        let outcome = try Tool.run("bench", "registration", "--device", "x", "--threads", "0", "--json")
        #expect(outcome.status == 2)
        #expect(outcome.complaint.split(separator: "\n").count == 1)
        #expect((outcome.json["error"] as? [String: Any])?["code"] as? String == "invalidArgument")
    }
}

/// The same of `peermr bench cache`.
@Suite struct BenchCacheLineTests {
    @Test func theUsualPlan() throws {
        let plan = try BenchCache.parse(["--device", "x"]).words()
        #expect(plan.memories.map(\.description) == ["host"])
        #expect(plan.regionBytes == 65536 && plan.regions == 64 && plan.threads == 1 && plan.limit == nil)
    }

    @Test(arguments: [
        ["--regions", "0"], ["--regions", "-1"], ["--regions", "1048577"], ["--limit", "0"], ["--limit", "-3"],
        ["--lookups", "0"], ["--threads", "0"], ["--threads", "257"], ["--size", "5000"], ["--size", "4K,8K"],
        ["--size", "x"], ["--size", "0"], ["--memory", "nothing"], ["--size", "8191P", "--regions", "1000000"],
        ["--limit", "16777217"],
    ])
    func isRefusedWithASentence(_ words: [String]) throws {
        let outcome = try Tool.run(["bench", "cache", "--device", "x"] + words + ["--json"])
        #expect(outcome.status == 2)
        #expect(outcome.complaint.split(separator: "\n").count == 1)
        #expect((outcome.json["error"] as? [String: Any])?["code"] as? String == "invalidArgument")
    }

    @Test(arguments: [
        (["--regions", "0"], "0 is no number of regions; "), (["--lookups", "-1"], "-1 is no number of lookups; "),
        (["--limit", "0"], "0 is no number of regions in the cache; "),
    ])
    func aNumberIsRefusedByWhatItCounts(_ words: [String], _ sentence: String) throws {
        #expect(try Tool.run(["bench", "cache", "--device", "x"] + words).complaint.contains(sentence))
    }
}
