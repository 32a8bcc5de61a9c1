// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import TestSupport
import Testing

/// Text for people: wrapped, in columns, and in colors on a terminal that has them.
@Suite struct TextTests {
    @Test func linesAreNoWiderThanAsked() {
        var generator = SeededGenerator(seed: 17)
        for _ in 0..<500 {
            let words = (0..<Int.random(in: 0...20, using: &generator)).map { _ in
                String(repeating: "w", count: Int.random(in: 1...30, using: &generator))
            }
            let columns = Int.random(in: 1...40, using: &generator)
            let text = words.joined(separator: " ")
            let lines = Wrapping.lines(text, columns: columns, hanging: Int.random(in: 0...3, using: &generator))
            #expect(lines.allSatisfy { $0.count <= columns })
            // Nothing is lost.
            #expect(lines.joined().filter { $0 != " " } == text.filter { $0 != " " })
        }
    }

    @Test func longWordsAreBrokenBehindASeparator() {
        #expect(Wrapping.lines("boot with aaaa;bbbb;cccc", columns: 10) == ["boot with", "aaaa;bbbb;", "cccc"])
        #expect(Wrapping.lines("", columns: 10) == [""])
        #expect(Wrapping.lines("→ one two three", columns: 9, hanging: 2) == ["→ one", "  two", "  three"])
    }

    @Test func namesMoveNoCursor() {
        let text = Table.fitted([["a\u{1b}[2Jb", "c\nd\u{202e}"]], .plain)
        #expect(text == "a?[2Jb  c?d?\n")
    }

    @Test func tablesFit() {
        var generator = SeededGenerator(seed: 18)
        for _ in 0..<200 {
            let columns = Int.random(in: 40...100, using: &generator)
            let rows: [[Table.Cell]] = (0..<5).map { _ in
                (0..<4).map { _ in
                    let count = Int.random(in: 0...90, using: &generator)
                    return .init(String(repeating: "ab ", count: count / 3) + "x", .good)
                }
            }
            let plain = Table.fitted(rows, TextStyle(columns: columns, hasColor: false), indent: 3)
            #expect(plain.split(separator: "\n").allSatisfy { $0.count <= columns && $0.last != " " })
            // Colors change nothing else.
            let colored = Table.fitted(rows, TextStyle(columns: columns, hasColor: true), indent: 3)
            #expect(colored != plain)
            let codes = colored.replacing("\u{1b}[32m", with: "").replacing("\u{1b}[0m", with: "")
            #expect(codes == plain)
        }
        #expect(Table.plain([["a", "bb"], ["ccc", ""]]) == "  a    bb\n  ccc\n")
    }

    @Test func colorsAreForTerminalsThatHaveThem() {
        #expect(TextStyle.allowsColor(noColor: nil, terminal: "xterm-256color"))
        #expect(TextStyle.allowsColor(noColor: "", terminal: "linux"))
        #expect(!TextStyle.allowsColor(noColor: "1", terminal: "xterm"))
        #expect(!TextStyle.allowsColor(noColor: nil, terminal: "dumb"))
        #expect(!TextStyle.allowsColor(noColor: nil, terminal: nil))
        #expect(TextStyle.plain.colored("a", .bad) == "a")
        #expect(TextStyle(columns: 80, hasColor: true).colored("a", .bad) == "\u{1b}[1;31ma\u{1b}[0m")
    }

    @Test(
        arguments: [
            (["a"], "a"), (["a", "b"], "a and b"), ([], ""), (["mlx5_0", "mlx5_1", "mlx5_2"], "mlx5_0 … mlx5_2"),
            (["mlx5_8", "mlx5_9", "mlx5_10", "x"], "mlx5_8 … mlx5_10 and x"),
            (["nvme0n1", "nvme1n1", "nvme2n1"], "nvme0n1 … nvme2n1"), (["nvme0n1", "nvme1n2"], "nvme0n1 and nvme1n2"),
            (["0000:01:00.0", "0000:02:00.0", "0000:03:00.0"], "0000:01:00.0, 0000:02:00.0 and 0000:03:00.0"),
            (["a", "b", "c", "d", "e", "f", "g"], "a, b, c, d, e and 2 more"),
            (["n0", "d0n1", "n1", "d1n1", "n2", "d2n1"], "n0 … n2 and d0n1 … d2n1"),
            (["1", "2", "3", "5", "7", "8", "9"], "1 … 3, 5 and 7 … 9"),
        ] as [([String], String)])
    func namesThatCountUpAreARange(_ names: [String], _ text: String) {
        #expect(NameList.text(names) == text)
    }
}
