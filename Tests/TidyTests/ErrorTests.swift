// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import Testing

@testable import error_page

/// The tables of errors: every row is a whole sentence, and every table is on the page of all errors.
@Suite struct ErrorTests {
    @Test func everyRowIsAWholeSentence() {
        for row in sections.flatMap(\.tables).flatMap(\.listed) {
            for text in [row.reason] + (row.remedy.map { [$0] } ?? []) {
                #expect(text.count > 3 && text.last != "." && text.first != " ", "\(text)")
                #expect(!text.contains("  ") && !text.contains("Optional("), "\(text)")
            }
        }
    }

    /// The row that is left is the last one, and no number has two rows for one call.
    @Test func everyRowCanBeReached() {
        for table in sections.flatMap(\.tables) {
            let rows = table.listed
            for (index, row) in rows.enumerated() {
                #expect(!row.numbers.isEmpty || index == rows.count - 1, "\(row.reason)")
                for other in rows[..<index] where other.call == nil || other.call == row.call {
                    #expect(Set(other.numbers).isDisjoint(with: row.numbers), "\(row.reason)")
                }
            }
        }
    }

    @Test func everyTableIsOnThePage() {
        let files = SourceFile.swift.filter { $0.path.contains("PeerMRError+") || $0.path.contains("/Refusal.swift") }
        var listed: Set<Substring> = []
        for file in files {
            var isInList = false
            for line in file.lines {
                isInList = line.contains("= ErrorSection(") || isInList && !line.hasPrefix("}")
                if isInList { listed.formUnion(line.matches(of: /\w+/).map(\.0)) }
            }
        }
        #expect(listed.count > 30)
        let titles = Set(sections.map(\.title))
        for file in SourceFile.swift {
            for (index, line) in file.lines.enumerated() where line.contains("static let ") {
                if let name = line.firstMatch(of: /static let (\w+) = ErrorTable\b/)?.1, !listed.contains(name) {
                    report(file, index + 1, "\(name) is in no section of the page of all errors")
                }
                guard line.contains("= ErrorSection(") else { continue }
                let title = file.lines[index...].joined().firstMatch(of: /"(.+?)"/)?.1
                if !titles.contains(title.map(String.init) ?? "") {
                    report(file, index + 1, "this section is not on the page of all errors")
                }
            }
        }
    }
}
