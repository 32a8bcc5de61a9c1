// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import PeerMR
import PeerStorage
import PeerTransfer

/// Bytes of a message on a command line: `4096`, `64K`, `2M`.
struct Bytes {
    let count: Int
    init(_ text: String) throws {
        guard let count = ByteCount.parse(text), count > 0, count <= 1 << 30 else {
            throw ValidationError("messages have 1 byte to 1G; write them as 4096, 64K or 1M.")
        }
        self.count = Int(count)
    }
}

/// Sizes from one to another, each twice the one before: `64:1M`.
struct Sweep {
    let sizes: [Int]
    init(_ text: String) throws {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw ValidationError("a sweep is FROM:TO, as in 64:1M.") }
        let (first, last) = (try Bytes(String(parts[0])).count, try Bytes(String(parts[1])).count)
        guard first <= last else { throw ValidationError("a sweep goes up: write the smaller size first.") }
        sizes = Array(sequence(first: first) { $0 * 2 <= last ? $0 * 2 : nil })
    }
}

/// Memory on a command line, as ``MemorySpecification`` has it, but without the size, which the messages say.
struct MemoryArgument: Hashable {
    private let text: String

    init(_ text: String) throws {
        self.text = text
        let kind = text.prefix { $0 != ":" }
        guard let form = Self.forms.first(where: { $0.prefix { $0 != ":" } == kind }) else {
            throw ValidationError("write one of \(Self.forms.joined(separator: ", ")).")
        }
        guard (try? specification(byteCount: UInt64(pageBytes))) != nil else {
            throw ValidationError("write \(form): how much there is to be, the messages say.")
        }
    }

    private static let forms = [
        "host", "p2pmem:BDF", "udmabuf", "heap:NAME", "vfio:BDF:BAR[:OFFSET:SIZE]", "cuda:N", "fd:N[:OFFSET:SIZE]",
    ]

    init(function: PCIAddress) { text = "p2pmem:\(function)" }

    /// The memory for so many bytes; what has a size of its own keeps that.
    func specification(byteCount: UInt64) throws(PeerMRError) -> MemorySpecification {
        let kind = text.prefix { $0 != ":" }
        return try MemorySpecification(kind == "vfio" || kind == "fd" ? text : "\(text):\(byteCount)")
    }
}

extension Operation: ExpressibleByArgument {}

/// How the ends find each other; the short names are those of `ibv_rc_pingpong`.
struct PathArguments: ParsableArguments {
    @Option(name: .shortAndLong, parsing: .unconditional, help: "The port; by default 18515, or 7174 with --cm.")
    var port: UInt16?
    @Option(name: [.customShort("d"), .long], help: "The RDMA device; by default the first.") var device: String?
    @Option(name: [.customShort("i"), .long], parsing: .unconditional, help: "The port of the device.")
    var devicePort: UInt8 = 1
    @Option(
        name: [.customShort("g"), .long], parsing: .unconditional,
        help: "The index of the GID; chosen by default.")
    var gidIndex: Int?
    @Option(name: .shortAndLong, help: "Path MTU, the same at both ends; by default 1024, or what the memory needs.")
    var mtu: Int?
    @Option(name: [.customShort("l"), .long], parsing: .unconditional, help: "Service level.")
    var serviceLevel: UInt8 = 0
    @Flag(help: "Use the connection manager and the protocol of rping.") var cm = false
    @Option(help: "The local address: to listen on, or with --cm to connect from.") var bind: String?
    @Flag(help: "Keep serving, one client at a time; with --cm several at once.") var persistent = false
    @Option(help: "The file with the key that a server with --nvme and its clients share.") var keyFile: String?

    func validate() throws {
        guard mtu == nil || pathMTU != nil else {
            throw ValidationError("--mtu must be 256, 512, 1024, 2048 or 4096.")
        }
        guard (gidIndex ?? 0) >= 0, gidIndex ?? 0 < 256 else {
            throw ValidationError("--gid-index must be between 0 and 255.")
        }
        guard port != 0 else { throw ValidationError("--port must be between 1 and 65535.") }
        guard keyFile == nil || !cm else { throw ValidationError("--key-file is for ends without --cm.") }
        guard serviceLevel < 16 else { throw ValidationError("--service-level must be between 0 and 15.") }
        if cm, device != nil || gidIndex != nil || mtu != nil || serviceLevel != 0 {
            throw ValidationError("With --cm the connection manager chooses device, GID, MTU and service level.")
        }
    }

    func key() throws(PeerMRError) -> SharedKey? {
        guard let keyFile else { return nil }
        return try SharedKey(file: FilePath(keyFile))
    }

    var tcpPort: UInt16 { port ?? (cm ? 7174 : 18_515) }

    /// The path MTU that was asked for; nil to settle on 1024 bytes, or what the memory needs.
    var pathMTU: PathMTU? { mtu.flatMap { PathMTU(exactlyBytes: $0) } }
}

/// The messages of a run.
struct MessageArguments: ParsableArguments {
    @Option(
        name: .shortAndLong, parsing: .unconditional,
        help: "Size of a message in bytes; by default 4096, or 64 with --cm.",
        transform: Bytes.init(_:))
    var size: Bytes?
    @Option(help: "Run for each size FROM:TO, doubling it; both ends must be ping-pong.", transform: Sweep.init(_:))
    var sweep: Sweep?
    @Option(name: [.customShort("n"), .long], parsing: .unconditional, help: "Messages each way, for each size.")
    var iterations = 1000
    @Option(
        parsing: .unconditional,
        help: "Messages at the beginning that are not measured; by default a tenth, at most 100.")
    var warmUp: Int?
    @Option(help: "send, write or read; write and read need ping-pong at both ends.") var operation = Operation.send
    @Option(name: [.customShort("r"), .long], parsing: .unconditional, help: "How many receives are kept posted.")
    var receiveDepth = 500
    @Flag(name: .shortAndLong, help: "Sleep until a completion arrives, instead of polling.") var events = false
    @Option(
        help: ArgumentHelp(
            "The local memory: host, p2pmem:BDF, udmabuf, heap:NAME, vfio:BDF:BAR, cuda:N or fd:N; by default host, or "
                + "the drive's p2pmem with --nvme."), transform: MemoryArgument.init(_:))
    var memory: MemoryArgument?
    @Flag(name: .customLong("validate"), help: "Check every byte that arrives.") var looksAtBytes = false

    func validate() throws {
        guard iterations > 0, iterations <= countLimit else {
            throw ValidationError("--iterations must be between 1 and \(countLimit).")
        }
        guard (warmUp ?? 0) >= 0, warmUp ?? 0 < iterations else {
            throw ValidationError("--warm-up must be 0 or more, and less than --iterations.")
        }
        guard receiveDepth > 0, receiveDepth <= 65_536 else {
            throw ValidationError("--receive-depth must be between 1 and 65536.")
        }
    }

    func validate(isClient: Bool, usesCM: Bool) throws {
        guard !usesCM else {
            guard operation == .send else {
                throw ValidationError("With --cm the protocol of rping says what is done.")
            }
            guard sizes(usesCM: true).allSatisfy({ $0 >= PingText.shortest && $0 < 65_536 }) else {
                throw ValidationError("With --cm sizes must be between \(PingText.shortest) and 65535.")
            }
            return
        }
    }

    func sizes(usesCM: Bool) -> [Int] { sweep?.sizes ?? [size?.count ?? (usesCM ? 64 : 4096)] }

    func endpointOptions(usesCM: Bool, drive: PCIAddress? = nil) -> EndpointOptions {
        let largest = max(sizes(usesCM: usesCM).max() ?? 1, size?.count ?? 1)
        let memory = memory ?? drive.map { MemoryArgument(function: $0) }
        return EndpointOptions(memory: memory, sizeLimit: largest, depth: receiveDepth, waits: events)
    }

    func runs(_ timeout: Int, usesCM: Bool = false) -> RunOptions {
        RunOptions(
            operation: operation, sizes: sizes(usesCM: usesCM), count: iterations,
            warmUp: warmUp ?? min(100, iterations / 10), validates: looksAtBytes, timeout: timeout)
    }
}

/// A part of a drive on a command line: `OFFSET:LENGTH`.
struct DriveRange {
    let offset: UInt64
    let byteCount: UInt64
    init(_ text: String) throws {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map { ByteCount.parse(String($0)) }
        guard parts.count == 2, let offset = parts[0], let count = parts[1], count > 0 else {
            throw ValidationError("a range is OFFSET:LENGTH in bytes, as in 0:64M.")
        }
        self.offset = offset
        byteCount = count
    }
}

/// The drive that the pong comes from.
struct DriveArguments: ParsableArguments {
    @Option(help: "As a server: write each message to this drive, and answer with what is read back from it.")
    var nvme: String?
    @Option(help: "OFFSET:LENGTH, the part of the drive that is overwritten.", transform: DriveRange.init(_:))
    var driveRange: DriveRange?
    @Flag(help: "Use NVMe commands (/dev/ngXnY) instead of the block device.") var passthrough = false
    @Flag(help: "Use the drive although it is mounted or holds a partition table or a file system.")
    var overwrite = false
    @Option(
        help: "With --nvme: a client's address, or ADDRESS/BITS; may be repeated. Only this host is served by default.")
    var allow: [String] = []

    /// The clients that may overwrite the drive.
    var allowList: AllowList? { AllowList(allow).flatMap { $0.isPlain ? $0 : nil } }

    func validate() throws {
        guard allowList != nil else {
            throw ValidationError("--allow takes a numeric address, or ADDRESS/BITS, and each only once.")
        }
        guard nvme == nil || driveRange != nil else {
            throw ValidationError("--nvme needs --drive-range OFFSET:LENGTH: what is there is overwritten.")
        }
        guard nvme != nil || (driveRange == nil && !passthrough && !overwrite && allow.isEmpty) else {
            throw ValidationError("--drive-range, --passthrough, --overwrite and --allow are for --nvme.")
        }
    }

    /// Opens the drive, where one was named.
    ///
    /// - Returns: what answers the client, and the drive's PCI function.
    func responder() throws(PeerMRError) -> (any Responder, PCIAddress?) {
        guard let nvme, let range = driveRange else { return (MemoryResponder(), nil) }
        let device = try BlockDevice(opening: FilePath(nvme), overwrite: overwrite)
        let function = device.function
        let blocks = try device.range(at: range.offset, count: range.byteCount)
        let responder: any Responder =
            passthrough
            ? DriveResponder(try PassthroughQueue(device, range: blocks, depth: 4))
            : DriveResponder(try StorageQueue(device, range: blocks, depth: 4))
        return (responder, function)
    }
}

/// Where the figures go.
struct OutputArguments: ParsableArguments {
    @Flag(help: "Print figures as JSON, one object a line, on standard output.") var json = false
    @Option(help: "Draw latency by size and by percentile into this file; needs gnuplot.") var svg: String?
    @Option(help: "Write the figures to a table of comma-separated values.") var csv: String?
    @Option(help: "Write percentile distributions in HdrHistogram's format, in microseconds.") var hgrm: String?
    @Option(parsing: .unconditional, help: "Give up on an end that is silent for so many seconds.") var timeout = 10

    func validate() throws {
        guard timeout > 0, timeout <= 86_400 else {
            throw ValidationError("--timeout must be between 1 and 86400 seconds.")
        }
    }

    var timeoutMilliseconds: Int32 { Int32(timeout * 1000) }

    /// Opens what the figures go to.
    func report() throws(PeerMRError) -> Report { try Report(self) }
}
