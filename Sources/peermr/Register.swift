// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

struct Register: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Registers memory with an RDMA device, proves it if asked, and deregisters it.",
        discussion: """
            The four answers are found in this order: does the device have the call, is the memory exported, would \
            the kernel let the device reach it, did bytes arrive. The last needs --prove: the device then moves random \
            bytes to itself through the region, and they are compared on the memory's side. The old contents are \
            restored.

            The exit status is 0 where it was registered (and, with --prove, not disproven), 1 where that is not \
            possible or was disproven, 2 for a usage or input error.
            """)

    @Option(
        help: ArgumentHelp("The RDMA device, as in peermr devices: mlx5_0, rxe0.", valueName: "device"),
        completion: Completions.rdmaDevices)
    var device: String
    @Option(
        help: ArgumentHelp(
            MemorySource.forms.joined(separator: ", ") + ". Sizes are bytes, or have a suffix K, M, G or T.",
            valueName: "memory"))
    var memory: String
    @Option(
        help: ArgumentHelp(
            "What the device and its peers may do, separated by commas: local-write, remote-write, remote-read, "
                + "remote-atomic, relaxed-ordering, on-demand.",
            valueName: "access"))
    var access = "local-write,remote-write,remote-read"
    @Option(
        help: ArgumentHelp(
            "The I/O address of the first byte of a dma-buf, decimal or 0x…; it must be congruent to the "
                + "offset modulo the page size.",
            valueName: "address"))
    var ioAddress: String?
    @Flag(help: "Move bytes through the region, and check whether they arrive.") var prove = false
    @Option(
        help: ArgumentHelp(
            "How many bytes --prove moves, at the beginning of the region and at its end.", valueName: "size"))
    var proveBytes = "64K"
    @Flag(help: "Print JSON, on one line.") var json = false

    func run() throws {
        try program.run(json: json ? \.json : nil) { () throws(PeerMRError) -> Int32 in
            // What the user wrote is looked at before anything of the machine is.
            let specification = try MemorySpecification(memory)
            let (access, address, proof) = (try parseAccess(), try parseAddress(), try parseProof())
            let report = RegistrationReport(
                specification: specification, context: try openDevice(), access: access, ioAddress: address,
                proof: proof)
            if json { printJSON(report.json) } else { writeAll(1, report.text) }
            if let error = report.error { program.say("error: \(error)") }
            return report.status
        }
    }

    private func openDevice() throws(PeerMRError) -> Context { try Device(name: device).open() }

    private func parseAccess() throws(PeerMRError) -> Access {
        var access: Access = []
        for word in words(of: self.access) {
            guard let (_, flag) = Access.names.first(where: { $0.0 == word }) else {
                throw PeerMRError(
                    .invalidArgument, reason: "there is no access \"\(word)\"",
                    remedy: "name some of \(Access.names.map(\.0).joined(separator: ", "))")
            }
            access.insert(flag)
        }
        return access
    }

    private func words(of text: String) -> [String] {
        text.split(separator: ",").map { String($0.filter { $0.isASCII && !$0.isWhitespace }) }
    }

    private func parseProof() throws(PeerMRError) -> ProofOptions? {
        guard let count = ByteCount.parse(proveBytes).flatMap({ Int(exactly: $0) }), count > 0 else {
            throw PeerMRError(
                .invalidArgument, reason: "\"\(proveBytes.filter(\.isASCII))\" is no number of bytes",
                remedy: "write it as 4096 or 64K")
        }
        return prove ? ProofOptions(byteCount: count) : nil
    }

    private func parseAddress() throws(PeerMRError) -> UInt64? {
        guard let ioAddress else { return nil }
        let value = ioAddress.hasPrefix("0x") ? UInt64(ioAddress.dropFirst(2), radix: 16) : UInt64(ioAddress)
        guard let value else {
            throw PeerMRError(
                .invalidArgument, reason: "\"\(ioAddress.filter(\.isASCII))\" is no address",
                remedy: "write it as a number below 2^64, such as 0x7f0000000000")
        }
        return value
    }
}

extension Access {
    /// As the command line has them.
    static let names: [(String, Access)] = [
        ("local-write", .localWrite), ("remote-write", .remoteWrite), ("remote-read", .remoteRead),
        ("remote-atomic", .remoteAtomic), ("relaxed-ordering", .relaxedOrdering), ("on-demand", .onDemand),
    ]
}
