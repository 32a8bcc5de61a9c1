// SPDX-License-Identifier: Apache-2.0

import CABI
import Foundation
import Testing

/// The C library as a C program sees it. The tests are written in C; see Tests/CABI.
@Suite struct CABITests {
    struct CTest: CustomTestStringConvertible {
        let index: UInt32
        var testDescription: String { c_abi_name(index).map { String(cString: $0) } ?? "?" }
    }

    static let all = (0..<c_abi_count()).filter { c_abi_forks($0) == 0 }.map { CTest(index: $0) }
    static let forking = (0..<c_abi_count()).filter { c_abi_forks($0) != 0 }

    /// One after the other: those with threads meet at one barrier, and two of them at once would wait for ever.
    @Test(.serialized, arguments: all) func behaves(_ test: CTest) {
        let fault = c_abi_run(test.index).map { String(cString: $0) }
        #expect(fault == nil)
    }

    /// In a process of its own, where no other test's thread has a lock when it forks.
    @Test(arguments: forking) func behavesWhereItForks(_ index: UInt32) async {
        await #expect(processExitsWith: .success) { [index] in
            let fault = c_abi_run(index).map { String(cString: $0) }
            #expect(fault == nil)
        }
    }

    /// Tests/CABI/entries.c calls each function that the header has, and knows which of them may free texts: those that
    /// return a peermr_status, except peermr_last_error.
    @Test func everyFunctionOfTheHeaderIsCalled() throws {
        let include = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "../../Sources/CPeerMR/include")
        let parts = try FileManager.default.contentsOfDirectory(
            at: include.appending(path: "peermr"), includingPropertiesForKeys: nil)
        let header = try ([include.appending(path: "peermr.h")] + parts).map {
            try String(contentsOf: $0, encoding: .utf8)
        }.joined()
        let declaration = /^([a-z][\w *]*?)\b(peermr_\w+)\(/.anchorsMatchLineEndings()
        let declared = header.matches(of: declaration).map { match in
            let isStatus = match.1.trimmingCharacters(in: .whitespaces) == "peermr_status"
            return "\(match.2) \(isStatus && match.2 != "peermr_last_error")"
        }
        let called = (0..<c_abi_entry_count()).map { index in
            "\(c_abi_entry_name(index).map { String(cString: $0) } ?? "?") \(c_abi_entry_ends_texts(index) != 0)"
        }
        #expect(declared.count > 20)
        #expect(declared.sorted() == called.sorted())
    }
}
