// SPDX-License-Identifier: Apache-2.0

import Testing

/// The measures of files, functions and lines.
@Suite struct LayoutTests {
    @Test func thereIsSomethingToLookAt() {
        #expect(SourceFile.swift.count > 30)
        #expect(SourceFile.product.contains { $0.fileExtension == "c" })
        #expect(SourceFile.all.contains { $0.path == "Package.swift" })
    }

    @Test func filesHaveAtMost400Lines() {
        for file in SourceFile.all where file.isCode && file.lines.count > 400 {
            report(file, 1, "\(file.lines.count) lines")
        }
    }

    /// A sentence in a string literal may stand on one line of its own, however long.
    @Test func linesHaveAtMost120Columns() {
        for file in SourceFile.product {
            for (index, line) in file.lines.enumerated() where line.count > 120 && !isLiteral(line) {
                report(file, index + 1, "\(line.count) columns")
            }
        }
    }

    private func isLiteral(_ line: String) -> Bool {
        line.wholeMatch(of: /\s*([a-z]+: )?f?".*"[,)]*/) != nil
    }

    @Test func linesEndWithoutSpacesAndFilesWithOneNewline() {
        for file in SourceFile.all where file.isCode {
            for (index, line) in file.lines.enumerated() where line.last?.isWhitespace ?? false {
                report(file, index + 1, "white space at the end")
            }
            if file.lines.last == "" { report(file, file.lines.count, "an empty line at the end") }
        }
    }

    @Test func functionsHaveAtMost70Lines() {
        for file in SourceFile.swift {
            for function in functions(in: SwiftText(file.lines).lines) where function.count > 70 {
                report(file, function.lowerBound + 1, "a function of \(function.count) lines")
            }
        }
        for file in SourceFile.product where file.fileExtension == "c" {
            var begin: Int?
            for (index, line) in file.lines.enumerated() {
                if line == "{" { begin = index }
                if line == "}", let first = begin, index - first > 70 {
                    report(file, first, "a function of \(index - first) lines")
                }
            }
        }
    }

    /// From each line that begins a function to the line of the brace that ends it.
    private func functions(in lines: [String]) -> [ClosedRange<Int>] {
        var open: [(line: Int, depth: Int)] = []
        var waiting: Int?
        var depth = 0
        var found: [ClosedRange<Int>] = []
        for (index, line) in lines.enumerated() {
            let mayBegin = ["func ", "init", "subscript"].contains { line.contains($0) }
            if mayBegin, line.firstMatch(of: /(^|\s)(func\s|init[?(<]|deinit\b|subscript[(<])/) != nil, waiting == nil {
                waiting = line.contains("self.init(") || line.contains(".init(") ? nil : index
            }
            for character in line {
                if character == "{" {
                    depth += 1
                    if let begin = waiting { open.append((begin, depth)) }
                    waiting = nil
                } else if character == "}" {
                    if let last = open.last, last.depth == depth { found.append(open.removeLast().line...index) }
                    depth -= 1
                }
            }
        }
        return found
    }

    @Test func theFunctionsAreFound() throws {
        let file = try #require(SourceFile.swift.first { $0.path.hasSuffix("Verbs/QueuePair+Loopback.swift") })
        let longest = functions(in: SwiftText(file.lines).lines).map(\.count).max()
        #expect(try #require(longest) > 30, "else the limit could not be passed")
    }
}
