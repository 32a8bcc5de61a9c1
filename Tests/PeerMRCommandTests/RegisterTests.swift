// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// What `peermr register` says before there is any device; the rest needs the lab.
@Suite struct RegisterTests {
    @Test(
        arguments: [
            ([], "--device"), (["--device", "none0"], "--memory"),
            (["--device", "none0", "--memory", "tape:4K"], "of a kind that there is not"),
            (["--device", "none0", "--memory", "host:0"], "SIZE of 0"),
            (["--device", "none0", "--memory", "host:4K", "--access", "fly"], "no access \"fly\""),
            (["--device", "none0", "--memory", "udmabuf:4K", "--io-address", "here"], "\"here\" is no address"),
            (["--device", "none0", "--memory", "udmabuf:4K", "--io-address", "0x1ffffffffffffffff"], "is no address"),
            (["--device", "none0", "--memory", "host:4K", "--prove-bytes", "0"], "\"0\" is no number of bytes"),
        ] as [([String], String)])
    func badInputIsASentenceAndStatusTwo(_ words: [String], _ complaint: String) throws {
        let outcome = try Tool.run(["register"] + words)
        #expect(outcome.status == 2)
        #expect(outcome.output.isEmpty)
        #expect(outcome.complaint.contains(complaint), "\(outcome.complaint)")
    }

    @Test func anErrorIsJSONWhereThatIsAskedFor() throws {
        let outcome = try Tool.run("register", "--device", "none0", "--memory", "vfio:0000:03:00.0:9", "--json")
        #expect(outcome.status == 2)
        let error = outcome.json["error"] as? [String: Any]
        #expect(error?["code"] as? String == "invalidArgument")
        #expect((error?["remedy"] as? String)?.contains("vfio:BDF:BAR") == true)
    }

    @Test func aDeviceThatThereIsNot() throws {
        let outcome = try Tool.run("register", "--device", "none0", "--memory", "host:4K")
        #expect(outcome.status == 2)
        #expect(outcome.complaint.contains("; "), "a cause and a remedy: \(outcome.complaint)")
    }

    @Test func helpNamesEveryKindOfMemory() throws {
        let help = try Tool.run("register", "--help").output
        for form in [
            "host:SIZE", "p2pmem:BDF:SIZE", "vfio:BDF:BAR", "udmabuf:SIZE", "heap:NAME:SIZE", "cuda:ORDINAL", "fd:N",
            "nic:SIZE",
        ] {
            #expect(help.filter { !$0.isWhitespace }.contains(form), "\(form)")
        }
    }
}
