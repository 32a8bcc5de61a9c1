// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Tells why NICs cannot use peer memory here, worst first, and how to fix it.",
        discussion: """
            Exit status: 0 where nothing was found, 1 where something was, 2 for a usage or input \
            error. Limits of this process, libraries and abilities of NICs are checked on the running machine only.
            With --boot-parameters: 0 where a line is printed, 1 where no boot parameter helps, 3 where that cannot be \
            told, 2 as before.
            """)

    @Flag(help: "Print the one line for the kernel's command line that fixes all that boot parameters can.")
    var bootParameters = false
    @OptionGroup var common: CommonOptions

    func run() throws {
        try common.run { () throws(PeerMRError) -> Int32 in
            let machine = Machine(try common.system())
            let routes = RouteProblems(machine)
            if bootParameters {
                let parameters = BootParameters(machine, routes)
                if common.json { printJSON(parameters.json) } else { writeAll(1, parameters.text(.standardOutput)) }
                return parameters.status
            }
            var diagnoses = Diagnosis.ofTheKernel(machine) + Diagnosis.ofTheDevices(machine)
            diagnoses += Diagnosis.ofThePlatform(machine) + Diagnosis.ofTheTarget(machine)
            if machine.root.isLive { diagnoses += Diagnosis.ofTheProcess(machine) }
            let report = DoctorReport(machine: machine, diagnoses: diagnoses, routes: routes)
            if common.json { printJSON(report.json) } else { writeAll(1, report.text(.standardOutput)) }
            return report.status
        }
    }
}
