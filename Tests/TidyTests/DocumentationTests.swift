// SPDX-License-Identifier: Apache-2.0

import Testing

/// Documentation of examples. That public declarations are documented is checked by `swift format lint`.
@Suite struct DocumentationTests {
    @Test func everyExampleSaysItsPurposeInItsFirstLines() {
        for file in SourceFile.product where file.path.hasPrefix("Examples/") {
            guard file.lines.contains(where: { $0.hasPrefix("@main") }) else { continue }
            let head = file.lines.prefix(12).filter { $0.hasPrefix("//") }
            if head.count < 4 { report(file, 1, "an example says its purpose and how to run it") }
        }
    }
}
