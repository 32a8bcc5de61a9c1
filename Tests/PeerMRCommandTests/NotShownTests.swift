// SPDX-License-Identifier: Apache-2.0

import Foundation
import SystemPackage
import TestSupport
import Testing

/// A machine that shows no PCI devices: a container, or nothing at all. What is not shown is not missing.
@Suite struct NotShownTests {
    private let folder = TemporaryFolder()

    @Test(arguments: ["mlx5_0", "nvme0n1", "0000:19:00.0"])
    func aRouteIsUnknown(_ client: String) throws {
        let check = try Tool.run("check", "0000:18:00.0", client, "--root", folder.path.string, "--json")
        #expect(check.status == 3)
        #expect(check.json["supported"] is NSNull && check.json["mapType"] as? String == "unknown")
        let findings = check.json["findings"] as? [[String: Any]] ?? []
        #expect(findings.map { $0["code"] as? String } == ["notShown"])
        let answers = check.json["answers"] as? [String: [String: Any]] ?? [:]
        for name in ["exporter", "route"] { #expect(answers[name]?["answer"] as? String == "unknown") }
    }

    @Test func theOtherCommandsSaySo() throws {
        let doctor = try Tool.run("doctor", "--root", folder.path.string, "--json")
        let codes = (doctor.json["ailments"] as? [[String: Any]] ?? []).compactMap { $0["code"] as? String }
        #expect(doctor.status == 1 && codes.contains("notShown"))
        for code in ["noRDMADevice", "noVerbs", "noPool"] { #expect(!codes.contains(code)) }
        for command in ["topology", "devices"] {
            let outcome = try Tool.run(command, "--root", folder.path.string)
            #expect(outcome.status == 0 && outcome.output.contains("/sys/bus/pci is missing"))
        }
    }

    /// A machine without PCI devices has none.
    @Test func anEmptyBusIsShown() throws {
        folder.folder("sys/bus/pci/devices")
        #expect(try Tool.run("check", "0000:18:00.0", "mlx5_0", "--root", folder.path.string).status == 2)
        #expect(try Tool.run("doctor", "--root", folder.path.string).output.contains("no RDMA device"))
    }
}
