// SPDX-License-Identifier: Apache-2.0
//
// nic-to-nvme: a file travels over RDMA straight into an NVMe drive's controller memory buffer on another host, from
// there into the drive, and back.
//
//   on the host with the drive:  nic-to-nvme serve --listen 10.0.0.2 --nvme /dev/nvme0n1 --allow 10.0.0.1
//   on the other:                nic-to-nvme put --connect 10.0.0.2 --offset 0 FILE
//                                nic-to-nvme get --connect 10.0.0.2 --offset 0 --length BYTES --output FILE
//
// `Examples/demo` runs all of it between two virtual machines, with no hardware needed.

import ArgumentParser
import CommandSupport

struct NICToNVMe: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nic-to-nvme",
        abstract: "Moves files over RDMA into an NVMe drive's own memory, into the drive, and back.",
        subcommands: [Serve.self, Put.self, Get.self])
}

@main
enum Main {
    static func main() { program.main(NICToNVMe.self) }
}
