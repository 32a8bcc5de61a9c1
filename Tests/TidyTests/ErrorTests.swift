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
        for file in SourceFile.swift where file.path.hasPrefix("Sources/") {
            let text = file.lines.joined(separator: "\n")
            for match in text.matches(of: /static let (\w+) = ErrorTable\(/)
            where text.firstRange(of: "PeerMRError.\(match.1)") == nil {
                report(file, 1, "\(match.1) is in no section of the page of all errors")
            }
            for match in text.matches(of: /static let (\w+) = ErrorSection\(/) {
                let titles = sections.map(\.title)
                let isListed = titles.contains { text.contains("\"\($0)\"") }
                if !isListed { report(file, 1, "\(match.1) is not a section of the page of all errors") }
            }
        }
    }
}
