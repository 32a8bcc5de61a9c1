// SPDX-License-Identifier: Apache-2.0

import Foundation
import SystemPackage
import TestSupport
import Testing

/// Misuse that the compiler refuses, each with the words that it has for it.
@Suite struct MustNotCompileTests {
    /// What differs between what a file announces and what the compiler says.
    private func differences(_ path: String) throws -> [String] {
        let announced = Compiler.announced(in: try String(contentsOfFile: path, encoding: .utf8))
        let found = try Compiler().errors(in: path)
        let missing = announced.filter { wanted in
            !found.contains { $0.line == wanted.line && $0.text.contains(wanted.text) }
        }
        let unexpected = found.filter { error in
            !announced.contains { $0.line == error.line && error.text.contains($0.text) }
        }
        return missing.map { "line \($0.line) compiles, or fails otherwise: \($0.text)" }
            + unexpected.map { "line \($0.line) fails: \($0.text)" }
    }

    @Test(arguments: [("Copies.swift", 6), ("UsesAfterConsumption.swift", 3), ("Forgeries.swift", 13)])
    func isRefused(_ name: String, _ count: Int) throws {
        let path = "\(try Compiler().samples)/\(name)"
        #expect(try differences(path) == [])
        #expect(Compiler.announced(in: try String(contentsOfFile: path, encoding: .utf8)).count == count)
    }

    @Test func properUseCompiles() throws {
        #expect(try Compiler().errors(in: "\(Compiler().samples)/Allowed.swift") == [])
    }

    @Test func everySampleIsTried() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Compiler().samples).sorted()
        #expect(names == ["Allowed.swift", "Copies.swift", "Forgeries.swift", "UsesAfterConsumption.swift"])
    }

    /// The test itself: it must see an error that does not come, and one that nobody announced.
    @Test func aDifferenceIsNoticed() throws {
        let folder = TemporaryFolder()
        folder.file(
            "Sample.swift",
            """
            import PeerMR
            func compiles(_ keys: RegionKeys) {}  // expected-error {{no}}
            func fails() { missing() }
            """)
        let found = try differences(folder.path.appending("Sample.swift").string)
        #expect(found.count == 2)
        #expect(found.first == "line 2 compiles, or fails otherwise: no")
        #expect(found.last?.hasPrefix("line 3 fails: cannot find 'missing'") == true)
    }
}
