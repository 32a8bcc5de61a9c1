// SPDX-License-Identifier: Apache-2.0

import Testing

/// Words that have no place in the product.
@Suite struct WordTests {
    /// Each is put together here, so that this file does not hold what it looks for. `swift format lint` finds forced
    /// unwrapping, casts and tries.
    private static let forbidden = ["fatal" + "Error(", "TO" + "DO", "FIX" + "ME", "XX" + "X"]

    @Test(arguments: forbidden)
    func isNowhereInTheProduct(_ word: String) {
        for file in SourceFile.product {
            for (index, line) in file.lines.enumerated() where line.contains(word) { report(file, index + 1, word) }
        }
    }

    /// Kernel modules of the lab stand apart from the package, with the kernel's licence.
    private static let kernelModules = ["Examples/lab/labhca/", "Tests/oracle/p2ptree/", "Tests/oracle/nvmet_client/"]

    @Test func everySourceFileNamesItsLicence() {
        for file in SourceFile.all where file.isCode || file.path == "Package.swift" {
            let isKernelModule = Self.kernelModules.contains { file.path.hasPrefix($0) }
            let wanted = "SPDX-License-Identifier: " + (isKernelModule ? "GPL-2.0" : "Apache-2.0")
            if !file.lines.prefix(3).contains(where: { $0.contains(wanted) }) { report(file, 1, "no SPDX line") }
        }
    }

    /// Where one machine keeps its things says nothing to another.
    @Test(arguments: ["/" + "root/.", "/" + "work/", "/" + "home/"])
    func noPathOfABuildMachine(_ path: String) {
        for file in SourceFile.all {
            for (index, line) in file.lines.enumerated() where line.contains(path) { report(file, index + 1, path) }
        }
    }

    /// Mirrors come from the machine's own configuration, or from debootstrap's default.
    @Test(arguments: ["debian" + ".org", "ubuntu" + ".com", "launchpad" + "content.net", "debian" + ".net"])
    func noArchiveOfADistribution(_ domain: String) {
        let pages: Set = ["www", "wiki", "manpages", "bugs", "lists", "salsa"]
        for file in SourceFile.all {
            for (index, line) in file.lines.enumerated() {
                for place in line.ranges(of: domain) {
                    let host = line[..<place.lowerBound].split(separator: "/").last ?? ""
                    let label = host.split(separator: ".").last.map { String($0) } ?? ""
                    if !pages.contains(label) { report(file, index + 1, "\(host)\(domain)") }
                }
            }
        }
    }

    /// A library says what to change in its own terms; the programs name their options.
    @Test func noOptionOfAProgramInALibrary() {
        let programs = ["Sources/peermr/", "Sources/Preload/", "Examples/"]
        for file in SourceFile.swift where !programs.contains(where: { file.path.hasPrefix($0) }) {
            for (index, line) in file.lines.enumerated() {
                // Swift has no operator "--", so what is no comment stands in a literal. mdadm(8) is the user's.
                let code = line[..<(line.firstRange(of: /(^|\s)\/\//)?.lowerBound ?? line.endIndex)]
                let found = code.replacing("mdadm --stop", with: "").firstMatch(of: /--[a-z]+/)
                if let found { report(file, index + 1, "\(found.0) is for a program to name") }
            }
        }
    }

    /// Libraries stay small: Foundation is for tests.
    @Test func noFoundationInTheProduct() {
        for file in SourceFile.swift {
            for (index, line) in file.lines.enumerated() where line.contains("import Foundation") {
                report(file, index + 1, "Foundation")
            }
        }
    }
}
