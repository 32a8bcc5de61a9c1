// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import Testing

@Suite struct NumberFormatTests {
    @Test(arguments: [
        (0.0, "0"), (0.0123, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (123_456.7, "123457"),
        (-1.5, "-1.50"),
    ])
    func numbersHaveThreeDigits(_ value: Double, _ text: String) {
        #expect(NumberFormat.significant(value) == text)
    }

    @Test(arguments: [
        (0.0, 0, "0"), (0.005, 2, "0.01"), (-1.5, 1, "-1.5"), (-0.04, 1, "0.0"), (2.5, 0, "3"), (1e20, 2, "?"),
        (.nan, 1, "?"),
    ])
    func decimals(_ value: Double, _ digits: Int, _ text: String) {
        #expect(NumberFormat.fixed(value, digits) == text)
    }

    @Test func times() {
        #expect(NumberFormat.microseconds(1234) == "1.23")
        #expect(NumberFormat.microseconds(12_345_678) == "12346")
        #expect(NumberFormat.count(1, "round") == "1 round" && NumberFormat.count(0, "round") == "0 rounds")
    }
}
