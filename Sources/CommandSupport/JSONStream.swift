// SPDX-License-Identifier: Apache-2.0

/// A JSON object that is written piece by piece, so that what is large is never whole in memory.
package struct JSONStream {
    private var pending = "{"
    private var isFirst = true
    /// Takes text; false where nobody reads any more.
    private let write: (String) -> Bool
    private static let pieceBytes = 1 << 16

    /// An object of the fields that `body` writes, in their order.
    package static func object(to write: @escaping (String) -> Bool, _ body: (inout JSONStream) -> Void) {
        var stream = JSONStream(write)
        body(&stream)
        _ = write(stream.pending + "}")
    }

    private init(_ write: @escaping (String) -> Bool) { self.write = write }

    /// Writes a field.
    package mutating func field(_ name: String, _ value: JSONValue) {
        begin(name)
        pending += value.encoded
    }

    /// Writes a field that is a list, of which each element is made when it is written.
    package mutating func list(_ name: String, count: Int, _ element: (Int) -> JSONValue) {
        begin(name)
        pending += "["
        for index in 0..<count {
            if index > 0 { pending += ", " }
            pending += element(index).encoded
            guard pending.utf8.count >= Self.pieceBytes else { continue }
            guard write(pending) else { return }
            pending = ""
        }
        pending += "]"
    }

    private mutating func begin(_ name: String) {
        pending += isFirst ? "" : ", "
        isFirst = false
        pending += JSONValue.text(name).encoded + ": "
    }
}

/// Prints an object on one line of standard output, piece by piece.
package func printJSON(_ body: (inout JSONStream) -> Void) {
    JSONStream.object(
        to: { text in
            writeAll(1, text)
            return !LostOutput.hasHappened
        }, body)
    writeAll(1, "\n")
}
