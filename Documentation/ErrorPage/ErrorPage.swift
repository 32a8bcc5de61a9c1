// SPDX-License-Identifier: Apache-2.0

// error-page: prints the page of all errors, from the tables that the errors are made of.

import CLinux
import CommandSupport
import PeerMR
import PeerMRC
import PeerMRCore
import PeerMemory
import PeerStorage
import PeerTransfer
import RegistrationBench
import Verbs

/// The domains, in the order in which one meets them.
let sections: [ErrorSection] = [
    PeerMRError.devicesErrors, PeerMRError.regionsErrors, PeerMRError.dmaBufRegistrationErrors,
    PeerMRError.deviceMemoryErrors, PeerMRError.connectionsErrors, PeerMRError.registrationErrors,
    PeerMRError.mappingErrors, PeerMRError.cacheErrors, PeerMRError.lossErrors, PeerMRError.p2pmemErrors,
    PeerMRError.bulkErrors, PeerMRError.populationErrors, PeerMRError.userMemoryErrors, PeerMRError.mappedBARErrors,
    PeerMRError.dmaBufsErrors, PeerMRError.hostDMABufsErrors, PeerMRError.vfioErrors, PeerMRError.barsErrors,
    PeerMRError.cudaErrors, PeerMRError.drivesErrors, PeerMRError.transfersErrors, PeerMRError.keysErrors,
    PeerMRError.misuseErrors, PeerMRError.benchErrors,
]

private let head = """
    # All errors

    Every sentence that the library can say, by what was called and what the system answered.

    @Metadata {
        @PageKind(article)
    }

    ## Overview

    An error of PeerMR is one sentence: what happened, in brackets the call and what it left in `errno`, and what to do.
    This page is printed from the tables that the sentences come from, so that none is missing; words in *italics* are
    filled in with the facts of the case. <doc:Troubleshooting> says where to begin.

    "any other" is every number that no row above it names. The name after the sentence is the error's code, for
    programs: ``PeerMRCore/PeerMRError/Code``.

    """

@main
struct ErrorPage {
    static func main() {
        LostOutput.watchPrints()
        print(head)
        print("## By number\n\n| Answer | of the calls |\n| --- | --- |")
        for (number, calls) in byNumber() { print("| \(number) | \(calls.joined(separator: ", ")) |") }
        for section in sections { printSection(section) }
    }

    private static func printSection(_ section: ErrorSection) {
        print("\n## \(section.title)")
        let called = section.tables.filter { !$0.calls.isEmpty }
        if !called.isEmpty {
            print("\n| Call | Answer | What it says | What to do |\n| --- | --- | --- | --- |")
        }
        for table in called {
            for row in table.listed {
                let answers = answers(row, of: table).joined(separator: ", ")
                print("| \(calls(row, of: table).joined(separator: ", ")) | \(answers) | \(words(row)) |")
            }
        }
        let others = section.tables.filter(\.calls.isEmpty)
        if !others.isEmpty { print("\n| What it says, before any call | What to do |\n| --- | --- |") }
        for row in others.flatMap(\.listed) { print("| \(words(row)) |") }
    }

    /// All numbers that a table names, each with the calls that leave it.
    private static func byNumber() -> [(String, [String])] {
        var found: [String: Set<String>] = [:]
        for table in sections.flatMap(\.tables) where table.answer == "errno" {
            for row in table.listed where !row.numbers.isEmpty {
                for name in answers(row, of: table) { found[name, default: []].formUnion(calls(row, of: table)) }
            }
        }
        return found.map { ($0.key, $0.value.sorted()) }.sorted { $0.0 < $1.0 }
    }

    private static func calls(_ row: ErrorRow, of table: any ListedErrors) -> [String] {
        (row.call.map { [$0] } ?? table.calls).map { $0.contains(" ") ? $0 : "`\($0)`" }
    }

    private static func answers(_ row: ErrorRow, of table: any ListedErrors) -> [String] {
        guard !row.numbers.isEmpty else { return [table.listed.count > 1 ? "any other" : "any"] }
        guard table.answer == "errno" else {
            return ["\(table.answer) \(row.numbers.map(String.init).joined(separator: ", "))"]
        }
        var names: [String] = []
        for name in row.numbers.map(name) where !names.contains(name) { names.append(name) }
        return names
    }

    /// The C name of an errno.
    private static func name(_ number: Int32) -> String {
        if number == 524 { return "524 (ENOTSUPP)" }
        return unsafe peermr_errno_name(number).map { unsafe String(cString: $0) } ?? "\(number)"
    }

    private static func words(_ row: ErrorRow) -> String {
        let code = row.code.map { " (`\($0.rawValue)`)" } ?? ""
        return "\(markdown(row.reason))\(code) | \(markdown(row.remedy ?? ""))"
    }

    /// A sentence with facts in italics, and with signs that mean something in Markdown as they are.
    private static func markdown(_ text: String) -> String {
        var found = ""
        for character in text {
            switch character {
            case "⟨", "⟩": found += "*"
            case "\\", "*", "|", "<", ">", "[", "]", "_", "`": found += "\\\(character)"
            default: found.append(character)
            }
        }
        return found
    }
}
