// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

struct TopologyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "topology", abstract: "x")
    @OptionGroup var common: CommonOptions
    func run() throws {}
}
