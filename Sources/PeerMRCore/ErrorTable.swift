// SPDX-License-Identifier: Apache-2.0

package import SystemPackage

/// The errors of a call, or of a check before any call, as data: by errno a class, a sentence and a remedy.
///
/// The sentences are functions of the facts, so that the compiler finds one that is missing or too many. Called with
/// the facts of a case, a table gives the error; called with their names, it gives its rows of the documentation.
package struct ErrorTable<each Fact: ErrorFact>: Sendable {
    /// The C names of the calls that it is for; none where no call was made.
    package let calls: [String]
    /// What the call answers with: `errno`, or the results of a library that has numbers of its own.
    package let answer: String
    /// Which side of a transfer it is always about.
    private let origin: PeerMRError.Origin?
    private let facts: (repeat each Fact)
    private let rows: @Sendable (repeat ErrorText<each Fact>) -> [ErrorRow]

    package init(
        _ calls: String..., answer: String = "errno", origin: PeerMRError.Origin? = nil, facts: repeat each Fact,
        @ErrorRows rows: @escaping @Sendable (repeat ErrorText<each Fact>) -> [ErrorRow]
    ) {
        self.calls = calls
        self.answer = answer
        self.origin = origin
        self.facts = (repeat each facts)
        self.rows = rows
    }

    /// The error where no number says more: the last row.
    package func callAsFunction(_ values: repeat (each Fact).Value) -> PeerMRError {
        error(calls.first, nil, nil, filled(repeat each values))
    }

    /// The error of the table's call.
    package func callAsFunction(_ errno: Errno, _ values: repeat (each Fact).Value) -> PeerMRError {
        error(calls.first, errno, nil, filled(repeat each values))
    }

    /// The error of one of the table's calls, which the caller names.
    package func callAsFunction(
        _ call: String, _ errno: Errno, _ values: repeat (each Fact).Value
    ) -> PeerMRError {
        error(call, errno, nil, filled(repeat each values))
    }

    /// The error of a library that answers with numbers of its own.
    package func callAsFunction(
        _ call: String? = nil, result: Int32, _ values: repeat (each Fact).Value
    ) -> PeerMRError {
        error(call ?? calls.first, Errno(rawValue: result), nil, filled(repeat each values))
    }

    /// What another error means where more is known: its call and errno, and its class where a row has none.
    package func callAsFunction(of cause: PeerMRError, _ values: repeat (each Fact).Value) -> PeerMRError {
        error(cause.call, cause.errno, cause.code, filled(repeat each values))
    }

    private func filled(_ values: repeat (each Fact).Value) -> [ErrorRow] {
        rows(repeat (each facts).filled(each values))
    }

    private func error(_ call: String?, _ errno: Errno?, _ code: PeerMRError.Code?, _ rows: [ErrorRow]) -> PeerMRError {
        let row = rows.first { $0.isFor(call, errno) } ?? rows[rows.count - 1]
        return PeerMRError(
            row.code ?? code ?? .system, call: call, errno: answer == "errno" ? errno : nil, reason: row.reason,
            // A remedy that is a fact may be missing.
            remedy: row.remedy == "" ? nil : row.remedy, origin: origin)
    }
}

/// One row of a table. The last row of a table is for all numbers that no other has.
package struct ErrorRow: Sendable {
    /// The only call of the table that the row is for; nil for all.
    package let call: String?
    package let numbers: [Int32]
    /// The class of the failure; nil where it is that of another error, which the row says more about.
    package let code: PeerMRError.Code?
    package let reason: String
    package let remedy: String?

    package init(_ code: PeerMRError.Code?, _ reason: String, _ remedy: String? = nil) {
        self.init(results: [], code, reason, remedy)
    }

    package init(
        call: String? = nil, _ errnos: [Errno], _ code: PeerMRError.Code?, _ reason: String, _ remedy: String? = nil
    ) {
        self.init(call: call, results: errnos.map(\.rawValue), code, reason, remedy)
    }

    package init(
        call: String? = nil, results numbers: [Int32], _ code: PeerMRError.Code?, _ reason: String,
        _ remedy: String? = nil
    ) {
        self.call = call
        self.numbers = numbers
        self.code = code
        self.reason = reason
        self.remedy = remedy
    }

    /// The row with what to do about it.
    package func with(remedy: String) -> ErrorRow {
        ErrorRow(call: call, results: numbers, code, reason, remedy)
    }

    func isFor(_ call: String?, _ errno: Errno?) -> Bool {
        guard let errno else { return false }
        return numbers.contains(errno.rawValue) && (self.call == nil || self.call == call)
    }
}

/// The rows of a table, one after another.
@resultBuilder
package enum ErrorRows {
    package static func buildBlock(_ first: ErrorRow, _ others: ErrorRow...) -> [ErrorRow] { [first] + others }
}

/// A table of whatever facts, for the documentation.
package protocol ListedErrors: Sendable {
    var calls: [String] { get }
    var answer: String { get }
    /// The rows with the names of the facts in place of the facts.
    var listed: [ErrorRow] { get }
}

extension ErrorTable: ListedErrors {
    package var listed: [ErrorRow] { rows(repeat (each facts).placeholder) }
}

/// The tables of a domain, under its title in the documentation.
package struct ErrorSection: Sendable {
    package let title: String
    package let tables: [any ListedErrors]

    package init(_ title: String, _ tables: [any ListedErrors]) {
        self.title = title
        self.tables = tables
    }
}
