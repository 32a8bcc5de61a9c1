// SPDX-License-Identifier: Apache-2.0

import Testing

/// The table "fault by promise by test" of the documentation: no row is without a test, and each test exists.
@Suite struct FaultTests {
    private static let page = "Sources/PeerMR/PeerMR.docc/Faults.md"
    private let rows: [(line: Int, cells: [String])]

    init() throws {
        let page = try #require(SourceFile.all.first { $0.path == Self.page })
        rows = page.lines.enumerated().compactMap { index, line in
            guard line.hasPrefix("| "), line.hasSuffix(" |"), !line.hasPrefix("| fault |"), !line.hasPrefix("| --- |")
            else { return nil }
            let cells = line.dropFirst().dropLast().split(separator: "|", omittingEmptySubsequences: false)
            return (index + 1, cells.map { $0.trimmingPrefix(" ").description })
        }
    }

    private func names(in cell: String) -> [String] { cell.matches(of: /`([^`]+)`/).map { String($0.1) } }

    /// Whether `Suite.test` is a test of Swift, or `module.test` one of the lab.
    private func exists(_ name: String) -> Bool {
        let parts = name.split(separator: ".").map(String.init)
        guard parts.count == 2 else { return false }
        if parts[0].first?.isUppercase ?? false {
            return SourceFile.all.contains { file in
                guard file.path.hasPrefix("Tests/"), file.fileExtension == "swift",
                    let suite = file.lines.firstIndex(where: { $0.contains("struct \(parts[0]) {") })
                else { return false }
                return file.lines[suite...].contains { $0.contains("func \(parts[1])(") }
            }
        }
        guard let file = SourceFile.all.first(where: { $0.path == "Tests/lab/\(parts[0]).py" }),
            let place = file.lines.firstIndex(where: { $0.hasPrefix("def \(parts[1])(") })
        else { return false }
        return place > 0 && file.lines[place - 1].hasPrefix("@test(")
    }

    @Test func everyRowHasTestsThatExist() {
        #expect(rows.count > 25)
        for (line, cells) in rows {
            #expect(cells.count == 5, "line \(line)")
            guard cells.count == 5 else { continue }
            let tests = names(in: cells[2])
            #expect(!tests.isEmpty, "line \(line): no test")
            for name in tests { #expect(exists(name), "line \(line): there is no test \(name)") }
            #expect(cells.allSatisfy { !$0.allSatisfy(\.isWhitespace) }, "line \(line): an empty cell")
        }
    }

    @Test func whatIsNoTestIsFoundOut() {
        #expect(exists("ServerSessionTests.aFlushThatFailsIsTold") && exists("faults.slow_drive"))
        for name in ["ServerSessionTests.aFlush", "faults.told", "faults", "NoTests.none", "no.module"] {
            #expect(!exists(name), "\(name)")
        }
    }
}
