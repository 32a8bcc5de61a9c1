// SPDX-License-Identifier: Apache-2.0

import CABI
import Testing

/// The C library as a C program sees it. The tests are written in C; see Tests/CABI.
@Suite struct CABITests {
    struct CTest: CustomTestStringConvertible {
        let index: UInt32
        var testDescription: String { c_abi_name(index).map { String(cString: $0) } ?? "?" }
    }

    static let all = (0..<c_abi_count()).map { CTest(index: $0) }

    /// One after the other: those with threads meet at one barrier, and two of them at once would wait for ever.
    @Test(.serialized, arguments: all) func behaves(_ test: CTest) {
        let fault = c_abi_run(test.index).map { String(cString: $0) }
        #expect(fault == nil)
    }
}
