// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

struct Devices: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "devices", abstract: "x")
    @OptionGroup var common: CommonOptions
    func run() throws {}
}
