// SPDX-License-Identifier: Apache-2.0

import Testing

/// A reader finds their way: every public declaration says what it is.
@Suite struct DocumentationTests {
    /// Requirements of protocols, documented where the protocol is.
    private static let witnesses: Set = [
        "description", "rawValue", "init(rawValue:", "<", "==", "hash(into", "baseAddress", "byteCount",
    ]

    private struct Declaration {
        let name: String
        let isDocumented: Bool
    }

    @Test func everyPublicDeclarationIsDocumented() {
        for file in SourceFile.swift where file.path.hasPrefix("Sources/") {
            for (index, _) in file.lines.enumerated() {
                guard let found = declaration(at: index, in: file.lines), !found.isDocumented,
                    !Self.witnesses.contains(where: { found.name.hasPrefix($0) })
                else { continue }
                report(file, index + 1, "\(found.name) is not documented")
            }
        }
    }

    @Test func theyAreFound() {
        let count = SourceFile.swift.filter { $0.path.hasPrefix("Sources/") }.reduce(0) { count, file in
            count + file.lines.indices.filter { declaration(at: $0, in: file.lines) != nil }.count
        }
        #expect(count > 150, "else nothing was looked at")
        let lines = ["/// Says what it is.", "@safe", "public final class Documented {", "  public let bare = 1"]
        #expect(declaration(at: 2, in: lines)?.isDocumented == true)
        #expect(declaration(at: 3, in: lines)?.isDocumented == false)
    }

    private func declaration(at index: Int, in lines: [String]) -> Declaration? {
        let line = lines[index].drop { $0 == " " }
        // Regular expressions are slow: most lines need none.
        guard line.hasPrefix("public ") || line.hasPrefix("@") && line.contains(" public ") else { return nil }
        let pattern =
            #/
            (?:@\w+\ )* public\ (?:internal\(set\)\ |private\(set\)\ )?
            (?:final\ |static\ |mutating\ |borrowing\ |consuming\ |convenience\ )*
            (?:(func|var|let|struct|class|enum|protocol|typealias)\ ([\w<=]+) | (init|subscript)[?]? (\(\w*:?)?) .*
            /#
        guard let match = String(line).wholeMatch(of: pattern) else { return nil }
        let name = match.2.map { String($0) } ?? "\(match.3 ?? "")\(match.4 ?? "")"
        var above = index - 1
        // What a C header declares is documented there.
        var isDeclaredElsewhere = false
        while above >= 0, lines[above].drop(while: { $0 == " " }).hasPrefix("@") {
            if lines[above].contains("@implementation") { isDeclaredElsewhere = true }
            above -= 1
        }
        let isDocumented =
            isDeclaredElsewhere || above >= 0 && lines[above].drop(while: { $0 == " " }).hasPrefix("///")
        return Declaration(name: name, isDocumented: isDocumented)
    }

    @Test func everyExampleSaysItsPurposeInItsFirstLines() {
        for file in SourceFile.product where file.path.hasPrefix("Examples/") {
            guard file.lines.contains(where: { $0.hasPrefix("@main") }) else { continue }
            let head = file.lines.prefix(12).filter { $0.hasPrefix("//") }
            if head.count < 4 { report(file, 1, "an example says its purpose and how to run it") }
        }
    }
}
