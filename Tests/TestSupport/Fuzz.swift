// SPDX-License-Identifier: Apache-2.0

import Foundation

/// How many inputs tests of bad input draw, and a line for each test that says so; see Tests/address-sanitizer.
public enum Fuzz {
    /// `PEERMR_FUZZ` times as many as usual.
    public static let factor = max(1, ProcessInfo.processInfo.environment["PEERMR_FUZZ"].flatMap { Int($0) } ?? 1)

    /// A range of so many inputs, counted on standard output.
    public static func inputs(_ count: Int, _ what: String) -> Range<Int> {
        print("inputs: \(count) \(what)")
        return 0..<count
    }
}
