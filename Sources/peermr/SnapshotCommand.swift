// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import Glibc
import PCITopology
import PeerMR
import SystemPackage
import PeerMRCore

struct SnapshotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot",
        abstract: "Captures what the check reads of this machine into a file, for --snapshot elsewhere.",
        discussion: """
            The file is text. It holds the shape of the PCI tree, identities, access control services, IOMMU \
            modes, the names of RDMA and block devices, the kernel's version and the processor's family; no \
            serial numbers, network addresses or host names. Run it as root: without, what the kernel keeps \
            from other users stays unknown in the file too.
            """)

    @Argument(help: "The file to write.", completion: .file()) var file: String
    @OptionGroup var common: CommonOptions

    func run() throws {
        try common.run { () throws(PeerMRError) -> Int32 in
            let text = Snapshot.encode(Snapshot.capture(try common.system()))
            do throws(Errno) {
                try SnapshotCommand.write(text, to: FilePath(file))
            } catch {
                throw PeerMRError(
                    .system, call: "open", errno: error, reason: "\(file) cannot be written",
                    remedy: "name a file in a directory that this user may write to")
            }
            let lines = text.utf8.count { $0 == 10 }
            if common.json {
                printJSON(
                    .object([
                        ("file", .text(file)), ("bytes", .count(text.utf8.count)),
                        ("lines", .count(lines)), ("format", .count(Snapshot.format)),
                    ]))
            } else {
                writeAll(1, "\(file): \(ByteCount.describe(text.utf8.count)), \(lines) lines\n")
            }
            return 0
        }
    }

    private static func write(_ text: String, to path: FilePath) throws(Errno) {
        do {
            let descriptor = try FileDescriptor.open(
                path, .writeOnly, options: [.create, .truncate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead])
            try descriptor.closeAfter { _ = try descriptor.writeAll(text.utf8) }
        } catch {
            throw error as? Errno ?? .ioError
        }
    }
}
