// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "doctor", abstract: "x")
    @OptionGroup var common: CommonOptions
    func run() throws {}
}
