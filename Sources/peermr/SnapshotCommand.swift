// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import MachineArchive
import PCITopology
import PeerMR
import PeerMRCore
import SystemPackage

struct SnapshotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot",
        abstract: "Captures what the check reads on this machine into a tar archive, for --root elsewhere.",
        discussion: """
            The archive holds the files that the check reads, at their paths below sys and proc: the shape of the \
            PCI tree, identities, access control services, IOMMU modes, the names of RDMA and block devices, the \
            first two numbers of the kernel's version, and the processor's vendor and family. It holds no serial \
            numbers, network addresses or host names: parts of files that are not needed are left out, or zero in \
            configuration space. Run it as root: otherwise, what the kernel hides from other users is unknown in the \
            archive too.
            """)

    @Argument(help: "The file to write, such as machine.tar.gz.", completion: .file()) var file: String
    @Option(
        help: ArgumentHelp(
            "How to compress it: \(Compression.allCases.map(\.rawValue).joined(separator: ", ")). By default "
                + "the file's name decides (.tar, .tar.gz, .tar.xz, ...), or else gzip.", valueName: "method"),
        completion: .list(Compression.allCases.map(\.rawValue)),
        transform: { text in
            guard let method = Compression(rawValue: text) else { throw ValidationError("\(text) is no method.") }
            return method
        })
    var compress: Compression?
    @OptionGroup var common: CommonOptions

    func run() throws {
        try common.run { () throws(PeerMRError) -> Int32 in
            let tree = Snapshot.capture(try common.system())
            let output = try OutputFile(file)
            let written = try MachineArchive.write(
                tree, descriptor: output.descriptor, name: file, compression: compress ?? Compression(forFile: file))
            try output.keep()
            if common.json {
                printJSON(
                    .object([
                        ("file", .text(file)), ("bytes", .count(written.bytes)), ("entries", .count(written.entries)),
                    ]))
            } else {
                writeAll(1, "\(file.printable): \(ByteCount.describe(written.bytes)), \(written.entries) entries\n")
            }
            return 0
        }
    }
}
