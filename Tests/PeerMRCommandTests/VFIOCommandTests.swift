// SPDX-License-Identifier: Apache-2.0

import Testing

/// What `peermr vfio` refuses. That it binds and gives back is tried in the lab.
@Suite struct VFIOCommandTests {
    @Test(arguments: ["bind", "unbind", "status"])
    func aFunctionThatIsNotThere(_ verb: String) throws {
        let outcome = try Tool.run("vfio", verb, "ffff:ff:1f.7")
        #expect(outcome.status == 2)
        #expect(outcome.output.isEmpty)
        #expect(
            outcome.complaint.hasPrefix("peermr: error: there is no PCI function ffff:ff:1f.7; "),
            "\(outcome.complaint)")
    }

    @Test func whatIsNoAddress() throws {
        let outcome = try Tool.run("vfio", "bind", "eth0")
        #expect(outcome.status == 2)
        #expect(outcome.complaint.contains("\"eth0\" is no PCI address"))
    }

    @Test func helpTellsWhatItDoes() throws {
        let outcome = try Tool.run("vfio", "--help")
        #expect(outcome.status == 0)
        let words = outcome.output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        for word in ["bind", "unbind", "status", "No other command of this tool binds drivers"] {
            #expect(words.contains(word), "\(word)")
        }
    }
}
