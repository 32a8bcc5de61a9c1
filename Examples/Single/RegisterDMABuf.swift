// SPDX-License-Identifier: Apache-2.0
//
// register-dmabuf: registers a dma-buf with an RDMA device, and has the NIC fill another region from it.
//
//   swift run -c release register-dmabuf mlx5_0 vfio:0000:04:00.0:2       a BAR of a device that is bound to vfio-pci
//   swift run -c release register-dmabuf mlx5_0 udmabuf:1M                memory of this host, to try it
//   swift run -c release register-dmabuf mlx5_0 cuda:0:2M                 memory of a GPU
//
// Needs an RDMA device whose driver imports dma-bufs (mlx5, irdma, efa, bnxt_re): peermr doctor tells.

import ArgumentParser
import Glibc
import PeerMR

@main
struct RegisterDMABuf: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "register-dmabuf")
    @Argument(help: "The RDMA device, as rdma link show names it.") var device: String
    @Argument(help: "vfio:BDF:BAR[:OFFSET:SIZE], udmabuf:SIZE, heap:NAME:SIZE, cuda:N:SIZE or fd:N:OFFSET:SIZE.")
    var memory: String

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
        let domain = try ProtectionDomain(try Device(name: device).open())
        let memory = try MemorySpecification(memory).open()
        let region = try PeerRegion(registering: memory, on: domain, access: [.localWrite, .remoteWrite, .remoteRead])
        guard region.kind == .dmabuf else { throw ValidationError("\(self.memory) is no dma-buf.") }

        print("memory: \(region.byteCount) bytes, exported by \(region.exporter ?? "an unknown driver")")
        if let provider = region.provider { print("device: \(provider)") }
        if let route = region.route { print("route: \(route.outcome.rawValue), because \(route.reason)") }
        print("method: \(region.choice.method.rawValue), because \(region.choice.reason)")
        // Devices map whole pages: the keys open what stands before and behind the range, too.
        print("padding: \(region.padding.before) bytes before, \(region.padding.after) after")

        // The owner's way to the bytes, such as VFIO's file: a dma-buf has no address in this process.
        let sent = (0..<min(region.byteCount, 4096)).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
        try unsafe region.write(sent.span.bytes, at: 0)
        let received = try Self.copy(sent.count, from: region, on: domain)
        guard received == sent else { throw Failure(description: "the NIC read other bytes than its owner wrote") }
        print("data: the NIC read \(sent.count) bytes, all as their owner wrote them")
        print("registered in \(region.registrationNanoseconds / 1000) µs")
    }

    /// Has the NIC send bytes of a region to itself, into memory of the host.
    private static func copy(
        _ count: Int, from region: borrowing PeerRegion, on domain: ProtectionDomain
    ) throws -> [UInt8] {
        let target = try PeerRegion.allocate(count, of: .host, on: domain, access: [.localWrite])
        let queue = try CompletionQueue(domain.context, capacity: 2)
        var pair = try QueuePair(
            domain: domain, sendQueue: queue, receiveQueue: queue, capacity: QueuePairCapacity(sends: 1, receives: 1))
        try pair.connectLoopback(access: [.localWrite])
        try pair.check(region.keys.constraint)
        try pair.postReceive(target.keys.element(at: 0, count: UInt64(count)), requestID: 1)
        try pair.postSend(region.keys.element(at: 0, count: UInt64(count)), requestID: 2)

        var batch = CompletionBatch(capacity: 2)
        var open = 2
        let deadline = ContinuousClock.now + .seconds(30)
        while open > 0 {
            for index in 0..<(try queue.poll(into: &batch)) {
                // What the NIC says of memory that is gone is a status; the region knows the cause.
                if let error = region.explain(batch[index]) { throw error }
                open -= 1
            }
            guard ContinuousClock.now < deadline else { throw Failure(description: "the NIC says nothing for 30 s") }
        }
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        try target.read(into: &raw, at: 0)
        return bytes
    }
}

struct Failure: Error, CustomStringConvertible { let description: String }
