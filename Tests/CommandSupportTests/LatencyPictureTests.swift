// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import Foundation
import FoundationXML
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

/// What gnuplot draws from a table, judged by its SVG.
@Suite struct LatencyPictureTests {
    private static let registration =
        CSV.line(
            [
                "device", "memory", "method", "bytes", "temperature", "pages", "registered_bytes", "threads", "side",
                "call",
            ] + Distribution.csvHeading + ["huge_pages"])
        + ["host", "p2pmem:0000:01:00.0"].flatMap { memory in
            [4096, 65_536, 1 << 20].flatMap { size in
                ["cold", "warm"].flatMap { temperature in
                    ["peermr", "bare"].flatMap { side in
                        ["register", "deregister"].map { call in
                            let times = Distribution((1...100).map { UInt64(1000 + size / 10 + $0 * 10) })
                            return CSV.line(
                                ["rxe0", memory, "pinned", "\(size)", temperature, "base", "0", "1", side, call]
                                    + times.csvFields + ["false"])
                        }
                    }
                }
            }
        }.joined()

    private func draw(_ csv: String, hgrm: String? = nil) throws -> String {
        let folder = TemporaryFolder()
        let path = folder.path.appending("picture.svg").string
        let picture = try #require(try LatencyPicture(ifNamed: path))
        try picture.draw(csv: csv, hgrm: hgrm, title: "It's \"fake<0>\" & more", subtitle: "two_memories, 100 %")
        return try String(contentsOfFile: path, encoding: .utf8)
    }

    /// Elements with a name, counted, and all text.
    private final class Reader: NSObject, XMLParserDelegate {
        var lines = 0
        var text = ""
        func parser(
            _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
            attributes: [String: String]
        ) {
            // Gnuplot marks lines by their color; axes and grids have others.
            if name == "path", attributes["stroke"].map({ $0.hasPrefix("rgb(") }) == true { lines += 1 }
        }
        func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }
    }

    private func read(_ svg: String) throws -> Reader {
        let parser = XMLParser(data: Data(svg.utf8))
        let reader = Reader()
        parser.delegate = reader
        #expect(parser.parse(), "\(String(describing: parser.parserError))")
        return reader
    }

    @Test func everyLineIsThere() throws {
        let reader = try read(try draw(Self.registration))
        for part in [
            "It's \"fake<0>\" & more", "two_memories, 100 %", "register, cold", "deregister, warm", "host (pinned)",
            "p2pmem:0000:01:00.0 (pinned)", "4 KiB", "1 MiB", "µs", "size", "Rings: medians of the bare calls",
        ] {
            #expect(reader.text.contains(part), "\(part)")
        }
        // In each of four panels a line and the bars of two memories.
        #expect(reader.lines >= 4 * 2 * 2)
        #expect(try draw(Self.registration) == draw(Self.registration), "the same data, the same picture")
    }

    @Test func withoutABaselineNothingIsSaidOfOne() throws {
        let ours = Self.registration.split(separator: "\n").filter { !$0.contains(",bare,") }
        #expect(!(try read(try draw(ours.joined(separator: "\n"))).text.contains("bare")))
    }

    @Test(arguments: [[4096], [64, 1024, 65_536]])
    func roundTripsByPercentile(_ sizes: [Int]) throws {
        var csv = CSV.line(["what", "memory", "method", "bytes", "completions"] + Distribution.csvHeading)
        var hgrm = ""
        for size in sizes {
            let times = Distribution((1...1000).map { UInt64(2000 + size / 10 + $0 * $0 / 100) })
            csv += CSV.line(["send", "host", "pinned", "\(size)", "polling"] + times.csvFields)
            hgrm += times.hgrm("send")
        }
        let reader = try read(try draw(csv, hgrm: hgrm))
        for part in ["percentile", "99.9 %", "send, \(ByteCount.describe(sizes[0]))"] {
            #expect(reader.text.contains(part), "\(part)")
        }
        #expect(reader.text.contains("median") == (sizes.count > 1), "latency by size")
        #expect(reader.lines >= sizes.count + (sizes.count > 1 ? 5 : 0))
    }

    @Test func nothingToDrawLeavesNoFile() throws {
        let folder = TemporaryFolder()
        do {
            let picture = try #require(try LatencyPicture(ifNamed: folder.path.appending("picture.svg").string))
            let heading = String(Self.registration.prefix { $0 != "\n" }) + "\n"
            let error = #expect(throws: PeerMRError.self) {
                try picture.draw(csv: heading, title: "", subtitle: "")
            }
            #expect(error?.reason.hasPrefix("gnuplot cannot draw") == true)
        }
        #expect(folder.root.entries("") == [])
    }

    @Test func aProgramThatIsMissingIsNamedWithItsPackage() {
        let error = #expect(throws: PeerMRError.self) {
            _ = try ExternalProgram("no-such-program -x", package: "such-package")
        }
        #expect(error?.code == .notSupported && error?.reason.hasPrefix("no-such-program,") == true)
        #expect(error?.remedy?.contains("such-package") == true)
    }
}
