// SPDX-License-Identifier: Apache-2.0

// What the parts of the library cost that run on the host's processor, without any device.

import Benchmark
import CFakeVerbs
import Foundation
import PCITopology
import PeerMR
import PeerMRCore
import PeerMemory
import PeerTransfer
import SystemPackage
import Verbs

/// Metrics that say something here: allocations are not counted by this build of the package.
private func usual(
    _ scale: BenchmarkScalingFactor = .mega, maxIterations: Int = 200
) -> Benchmark.Configuration {
    Benchmark.Configuration(
        metrics: [.wallClock, .instructions], scalingFactor: scale, maxDuration: .seconds(2),
        maxIterations: maxIterations)
}

/// The fake belongs to a thread: what uses it begins and ends on the thread that runs it.
private func withMachine(_ body: (Context, ProtectionDomain) throws -> Void) {
    fake_verbs_begin()
    defer { fake_verbs_end() }
    do {
        let context = try Device(name: "fake0").open()
        try body(context, try ProtectionDomain(context))
    } catch {
        fatalError("\(error)")
    }
}

let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = usual()
    routes()
    posting()
    completions()
    parsing()
    registration()
}

// MARK: - Routes

/// Root ports, each with a drive below it: sysfs as files.
private func machine(drives: Int) throws -> (folder: URL, addresses: [PCIAddress]) {
    let files = FileManager.default
    let folder = files.temporaryDirectory.appendingPathComponent("peermr-benchmark-\(UUID().uuidString)")
    var addresses: [PCIAddress] = []
    func put(_ path: String, _ text: String) throws {
        let file = folder.appendingPathComponent(path)
        try files.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data((text + "\n").utf8).write(to: file)
    }
    func hexadecimal(_ number: Int) -> String { (number < 16 ? "0" : "") + String(number, radix: 16) }
    try put("sys/kernel/uevent_seqnum", "100")
    try put("proc/cpuinfo", "vendor_id\t: AuthenticAMD\ncpu family\t: 25")
    try files.createDirectory(
        at: folder.appendingPathComponent("sys/bus/pci/devices"), withIntermediateDirectories: true)
    for index in 0..<drives {
        let port = "0000:00:\(hexadecimal(index % 31 + 1)).\(index / 31)"
        let drive = "0000:\(hexadecimal(index + 1)):00.0"
        for (name, place, code) in [(port, port, "0x060400"), (drive, "\(port)/\(drive)", "0x010802")] {
            let device = "sys/devices/pci0000:00/\(place)"
            try put("\(device)/vendor", "0x1022")
            try put("\(device)/device", "0x1483")
            try put("\(device)/class", code)
            try Data(count: 64).write(to: folder.appendingPathComponent("\(device)/config"))
            try files.createSymbolicLink(
                atPath: folder.appendingPathComponent("sys/bus/pci/devices/\(name)").path,
                withDestinationPath: "../../../devices/pci0000:00/\(place)")
        }
        PCIAddress(drive).map { addresses.append($0) }
    }
    return (folder, addresses)
}

private func routes() {
    Benchmark("Route: cached, looked up again") { benchmark in
        let (folder, drives) = try machine(drives: 64)
        defer { try? FileManager.default.removeItem(at: folder) }
        let cache = RouteCache(root: SystemRoot(FilePath(folder.path)))
        for drive in drives { _ = cache.route(from: drives[0], to: drive) }
        var index = 0
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations {
            blackHole(cache.lookup(from: drives[0], to: drives[index]))
            index = (index + 1) & 63
        }
        benchmark.stopMeasurement()
    }

    Benchmark(
        "Route: worked out from sysfs, of two drives", configuration: usual(.one)
    ) { benchmark in
        let (folder, drives) = try machine(drives: 64)
        defer { try? FileManager.default.removeItem(at: folder) }
        let root = SystemRoot(FilePath(folder.path))
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations {
            blackHole(Topology(root: root, around: [drives[0], drives[9]]).route(from: drives[0], to: drives[9]))
        }
        benchmark.stopMeasurement()
    }
}

// MARK: - Work requests and completions

private func posting() {
    let remote = RemoteAddress(address: 0x7f00_0000_0000, key: 0x1234)
    Benchmark("Work request: a part of a region, as an entry") { benchmark in
        withMachine { _, domain in
            let region = try MemoryRegion(registering: HostMemory(allocating: 1 << 20), on: domain)
            let keys = region.keys
            benchmark.startMeasurement()
            for index in benchmark.scaledIterations {
                blackHole(try keys.element(at: UInt64(index & 0xff) << 12, count: 4096))
            }
            benchmark.stopMeasurement()
        }
    }

    Benchmark("Work request: RDMA WRITE built and posted (fake verbs)") { benchmark in
        withMachine { context, domain in
            let region = try MemoryRegion(registering: HostMemory(allocating: 1 << 20), on: domain)
            let queue = try CompletionQueue(context, capacity: 16)
            var pair = try QueuePair(
                domain: domain, sendQueue: queue, receiveQueue: queue,
                capacity: QueuePairCapacity(sends: 4, receives: 4))
            let keys = region.keys
            benchmark.startMeasurement()
            for index in benchmark.scaledIterations {
                try pair.postWrite(
                    keys.element(at: UInt64(index & 0xff) << 12, count: 4096), to: remote, requestID: UInt64(index))
            }
            benchmark.stopMeasurement()
        }
    }
}

private func completions() {
    Benchmark(
        "Completions: 256 polled in batches of 16 and decoded (fake verbs)",
        configuration: usual(.one, maxIterations: 2000)
    ) { benchmark in
        withMachine { context, _ in
            let queue = try CompletionQueue(context, capacity: 256)
            var batch = CompletionBatch(capacity: 16)
            for index in 0..<256 { fake_verbs_complete(UInt64(index), 0, 129, 4096, 1, 7, 0) }
            var sum: UInt64 = 0
            benchmark.startMeasurement()
            while try queue.poll(into: &batch) > 0 {
                for index in 0..<batch.count {
                    let completion = batch[index]
                    sum &+= completion.requestID &+ UInt64(completion.immediate ?? 0)
                }
            }
            benchmark.stopMeasurement()
            blackHole(sum)
        }
    }
}

// MARK: - Protocols and names

private func parsing() {
    let hello: [UInt8] = {
        var hello = [UInt8](repeating: 0, count: 44)
        hello.replaceSubrange(0..<7, with: [0x31, 0x50, 0x4d, 0x52, 1, 0, 1])
        hello[17] = 16
        hello[36] = 0
        hello[37] = 16
        hello[40] = 8
        return hello
    }()
    precondition((try? Hello(parsing: hello)) != nil, "a hello that is refused is no measure")
    Benchmark("Protocol: a message from its immediate") { benchmark in
        for index in benchmark.scaledIterations {
            blackHole(Message(immediate: UInt32(truncatingIfNeeded: index) & 0x3fff_ffff))
        }
    }
    Benchmark("Protocol: a client's hello") { benchmark in
        for _ in benchmark.scaledIterations { blackHole(try? Hello(parsing: hello)) }
    }
    Benchmark("Name: a specification of memory", configuration: usual(.kilo)) { benchmark in
        for _ in benchmark.scaledIterations { blackHole(try? MemorySpecification("vfio:0000:03:00.0:2:64K:1M")) }
    }
    Benchmark("Name: a PCI address", configuration: usual(.kilo)) { benchmark in
        for _ in benchmark.scaledIterations { blackHole(PCIAddress("0000:03:00.0")) }
    }
}

// MARK: - Registration

private func registration() {
    Benchmark("Registration: host memory, mapped, registered, deregistered (fake verbs)", configuration: usual(.kilo)) {
        benchmark in
        withMachine { _, domain in
            benchmark.startMeasurement()
            for _ in benchmark.scaledIterations {
                let region = try PeerRegion(
                    registering: .host(HostMemory(allocating: 4096)), on: domain, access: [.localWrite])
                blackHole(region.keys)
                fake_verbs_clear_journal()
            }
            benchmark.stopMeasurement()
        }
    }
}
