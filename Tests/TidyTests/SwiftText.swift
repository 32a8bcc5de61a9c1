// SPDX-License-Identifier: Apache-2.0

/// Swift source with comments and the contents of string literals blanked, line for line: what is left is code.
struct SwiftText {
    private(set) var lines: [String] = []

    init(_ lines: [String]) {
        var scanner = Scanner(Array(lines.joined(separator: "\n")))
        scanner.code(until: nil)
        self.lines = String(scanner.output).split(separator: "\n", omittingEmptySubsequences: false)
            .map { String($0) }
    }

    private struct Scanner {
        let input: [Character]
        var output: [Character] = []
        var position = 0

        init(_ input: [Character]) { self.input = input }

        func starts(with text: String) -> Bool {
            input[position...].starts(with: text)
        }

        mutating func keep() {
            output.append(input[position])
            position += 1
        }

        mutating func blank(_ count: Int = 1) {
            for _ in 0..<count where position < input.count {
                output.append(input[position] == "\n" ? "\n" : " ")
                position += 1
            }
        }

        /// Copies code, to the end or to the bracket that closes an interpolation.
        mutating func code(until closing: Character?) {
            var depth = 0
            while position < input.count {
                if starts(with: "//") {
                    while position < input.count, input[position] != "\n" { blank() }
                } else if starts(with: "/*") {
                    while position < input.count, !starts(with: "*/") { blank() }
                    blank(2)
                } else if starts(with: "\"") {
                    string(starts(with: "\"\"\"") ? "\"\"\"" : "\"")
                } else {
                    if input[position] == "(" { depth += 1 }
                    if input[position] == ")" {
                        if depth == 0, closing == ")" { return }
                        depth -= 1
                    }
                    keep()
                }
            }
        }

        mutating func string(_ quote: String) {
            for _ in quote { keep() }
            while position < input.count, !starts(with: quote) {
                if starts(with: "\\(") {
                    blank(2)
                    code(until: ")")
                    blank()
                } else if starts(with: "\\") {
                    blank(2)
                } else {
                    blank()
                }
            }
            for _ in quote where position < input.count { keep() }
        }
    }
}
