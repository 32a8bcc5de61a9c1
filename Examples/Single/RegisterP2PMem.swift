// SPDX-License-Identifier: Apache-2.0
//
// register-p2pmem: registers the memory of another PCI device with an RDMA device, and proves that bytes arrive there.
//
//   swift run -c release register-p2pmem mlx5_0 0000:01:00.0
//
// The function publishes p2pmem, as an NVMe drive with a controller memory buffer does:
// ls -d /sys/bus/pci/devices/*/p2pmem. Needs the rights to open its p2pmem/allocate, and Linux 6.16 or newer.

import ArgumentParser
import Glibc
import PeerMR

@main
struct RegisterP2PMem: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "register-p2pmem")
    @Argument(help: "The RDMA device, as rdma link show names it.") var device: String
    @Argument(help: "The PCI function whose memory is registered.") var provider: String
    @Option(help: "How many bytes; whole pages.") var size = 1 << 20

    static func main() {
        // What was printed is written at the end only, when the disk may be full.
        atexit {
            guard fflush(nil) != 0 else { return }
            unsafe perror("output")
            _exit(EXIT_FAILURE)
        }
        main(nil)
    }

    func run() throws {
        guard let provider = PCIAddress(provider) else { throw ValidationError("\(provider) is no PCI address.") }
        // Parents are kept alive by what is made from them: the region keeps the domain, the domain the device.
        let domain = try ProtectionDomain(try Device(name: device).open())
        let region = try PeerRegion.allocate(
            size, of: .p2pmem(provider), on: domain, access: [.localWrite, .remoteWrite, .remoteRead])

        print("memory: \(region.byteCount) bytes of p2pmem of \(provider)")
        print("method: \(region.choice.method.rawValue), because \(region.choice.reason)")
        // What a peer needs for RDMA WRITE and READ. The address is the region's, and no pointer in any process.
        print("keys: address 0x\(String(region.keys.address, radix: 16)), remote key \(region.keys.remoteKey)")
        let constraint = region.keys.constraint
        if constraint.pathMTUBytes > 0 {
            print("constraint: offsets of whole pages and a path MTU of \(constraint.pathMTUBytes), or data is wrong")
        }

        // Bytes that the processor puts into the device's memory, and gets back: for a look, never for the payload.
        let written = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try unsafe region.write(written.span.bytes, at: 0)
        var seen = [UInt8](repeating: 0, count: written.count)
        var span = seen.mutableSpan
        var bytes = unsafe span.mutableBytes
        try region.read(into: &bytes, at: 0)
        guard seen == written else { throw ExitCode.failure }
        print("processor: \(seen.count) bytes read back as written")

        // A registration says nothing of where bytes go. A proof has the NIC move random bytes in and out.
        let proof = try region.prove()
        print("proof: \(proof.reason)")
        print("registered in \(region.registrationNanoseconds / 1000) µs")
        guard proof.state == .proven else { throw ExitCode.failure }
    }
}
