// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import CLinux
import Glibc
import PeerMR
import PeerStorage
import PeerTransfer
import SystemPackage

/// Bytes on a command line: `4096`, `64K`, `2M`, `1G`.
struct Bytes: ExpressibleByArgument {
    let count: UInt64
    init(_ count: UInt64) { self.count = count }
    init?(argument: String) {
        guard let count = ByteCount.parse(argument) else { return nil }
        self.count = count
    }
    var defaultValueDescription: String { ByteCount.describe(count) }
}

/// The slots, as both sides are told of them.
struct SlotOptions: ParsableArguments {
    @Option(help: "Size of a slot, in whole pages.") var slotSize = Bytes(256 << 10)
    @Option(help: "Number of slots of a client: how many chunks are in flight.") var slots: UInt16 = 8
    @Option(help: "The port.") var port: UInt16 = 18_515
    @Option(help: "The file with the key that server and clients share, at least 16 bytes that nobody else may read.")
    var keyFile: String?
    @Flag(help: "Print the outcome as JSON, one object a line, on standard output.") var json = false

    func validate() throws {
        guard slotSize.count > 0, slotSize.count % UInt64(pageBytes) == 0, slotSize.count <= 1 << 30 else {
            throw ValidationError("--slot-size must be a multiple of \(pageBytes) bytes, and at most 1G.")
        }
        guard slots > 0, slots <= slotLimit else {
            throw ValidationError("--slots must be between 1 and \(slotLimit).")
        }
    }

    func key() throws(PeerMRError) -> SharedKey? {
        guard let keyFile else { return nil }
        return try SharedKey(file: FilePath(keyFile))
    }
}

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Offers a range of a drive: run this on the host that has it.")

    enum Memory: String, ExpressibleByArgument, CaseIterable { case p2pmem, host }
    enum FlushPolicy: String, ExpressibleByArgument, CaseIterable { case auto, always }

    @Option(help: "The address to listen on: one of an interface with an RDMA device.")
    var listen: String
    @Option(help: "The drive, for example /dev/nvme0n1.") var nvme: String
    @Option(help: "Where the offered range begins on the drive.") var offset = Bytes(0)
    @Option(help: "The length of the offered range; by default to the end of the drive.")
    var length: Bytes?
    @Option(help: "The memory of the slots: the drive's p2pmem, or host memory for comparison.")
    var memory = Memory.p2pmem
    @Option(help: "Use the p2pmem of this PCI function instead of the drive's own.")
    var provider: String?
    @Flag(help: "Use host memory where p2pmem cannot be used; the bytes are then counted as bounced.")
    var allowBounce = false
    @Option(
        help: ArgumentHelp(
            "A client's address, or ADDRESS/BITS, and after a = what it may use: OFFSET:LENGTH of what is served, ro "
                + "to only read, or OFFSET:LENGTH:ro; may be repeated. This host is always served."))
    var allow: [String] = []
    @Flag(help: "Let nobody write.") var readOnly = false
    @Flag(help: "Use the drive although it is mounted or holds a partition table or a file system.")
    var overwrite = false
    @Option(help: "Flush peer writes with an RDMA READ: where a NIC does the DMA, or always.")
    var flushPeerWrites = FlushPolicy.auto
    @Option(
        help: ArgumentHelp(
            "How many clients are served at once; by default up to 64, as far as half of the free p2pmem goes, or 256M "
                + "of host memory.", valueName: "count"))
    var clients: Int?
    @Option(help: ArgumentHelp("How many more clients may wait for their turn.", valueName: "count")) var queue = 64
    @Option(help: "Seconds without progress before a client is disconnected.") var timeout = 30
    @Option(
        help: ArgumentHelp(
            "The least that a client must move in a second while it is waited for, over the seconds of --timeout; 0 "
                + "for any.", valueName: "bytes"))
    var minimumRate = Bytes(64 << 10)
    @Option(help: "Seconds in which the drive may finish nothing before a transfer is given up.")
    var driveTimeout = 300
    @Flag(help: "Compute the CRC32C of every chunk here, too, where the slots are host memory.")
    var checkDigests = false
    @Flag(help: "Stop after one transfer; the exit status is then the transfer's.") var once = false
    @OptionGroup var common: SlotOptions

    func validate() throws {
        guard AllowList(allow) != nil else {
            throw ValidationError(
                "--allow takes a numeric address, or ADDRESS/BITS, then =OFFSET:LENGTH, =ro or =OFFSET:LENGTH:ro, and "
                    + "each only once.")
        }
        guard provider == nil || PCIAddress(provider ?? "") != nil else {
            throw ValidationError("--provider takes a PCI address such as 0000:01:00.0.")
        }
        guard SocketAddress(listen, port: common.port) != nil else {
            throw ValidationError("--listen takes a numeric address.")
        }
        guard (1...86_400).contains(timeout), (1...86_400).contains(driveTimeout) else {
            throw ValidationError("--timeout and --drive-timeout must be between 1 and 86400 seconds.")
        }
        guard (1...clientLimit).contains(clients ?? 1), (0...clientLimit).contains(queue) else {
            throw ValidationError(
                "--clients must be between 1 and \(clientLimit), --queue between 0 and \(clientLimit).")
        }
    }

    func run() throws {
        try program.run { () throws(PeerMRError) in
            guard let address = SocketAddress(listen, port: common.port),
                let allowList = AllowList(allow)
            else { return 2 }
            let key = try common.key()
            let device = try BlockDevice(opening: FilePath(nvme), overwrite: overwrite)
            let options = DriveServer.Options(
                memory: try request(device), fallback: allowBounce ? .bounce : .refuse,
                slotBytes: UInt32(common.slotSize.count), slotCount: common.slots,
                clientCount: clients, queueLimit: queue, alwaysFlush: flushPeerWrites == .always,
                timeoutSeconds: timeout, minimumRate: minimumRate.count,
                driveTimeoutSeconds: driveTimeout, allow: allowList, isReadOnly: readOnly, key: key,
                checksDigests: checkDigests, once: once)
            let range = try device.range(at: offset.count, count: length?.count)
            // What is at the drive at once, of all clients: enough for small slots, and for what one client has.
            let queue = try StorageQueue(device, range: range, depth: max(128, 2 * Int(common.slots) + 2))
            let stop = OwnedDescriptor(adopting: peermr_termination_descriptor())
            let server = try DriveServer(options, queue: queue, address: address, stop: stop.rawValue, report: tell)
            let failures = try server.run()
            return once && failures > 0 ? 1 : 0
        }
    }

    /// Each event is a sentence for people; transfers are JSON too where that is asked for.
    private func tell(_ event: DriveServer.Event) {
        "\(event)".split(separator: "\n").forEach { say(String($0)) }
        if common.json, case .ended(let report) = event { printJSON(report) }
    }

    private func request(_ device: borrowing BlockDevice) throws(PeerMRError) -> MemoryRequest {
        guard memory == .p2pmem else { return .host }
        if let provider = provider.flatMap({ PCIAddress($0) }) { return .p2pmem(provider) }
        guard let function = device.function else {
            throw PeerMRError(
                .notFound, reason: "\(device.path) is on no PCI function, so it has no p2pmem",
                remedy:
                    "take an NVMe drive with a controller memory buffer, name another's with --provider, or say "
                    + "--memory host"
            )
        }
        return .p2pmem(function)
    }
}

/// How a client finds its server.
struct ClientArguments: ParsableArguments {
    @Option(help: "The server's address.") var connect: String
    @Option(help: "The local address to connect from.") var bind: String?
    @Option(help: "The offset in the server's range: a multiple of the block size.") var offset = Bytes(0)
    @Option(
        help: ArgumentHelp(
            "How long to wait for a turn where the server serves as many others as it can; 0 not to wait.",
            valueName: "seconds"))
    var wait: UInt32 = 300
    @Flag(inversion: .prefixedNo, help: "Draw a progress bar; on a terminal by default.")
    var progress: Bool = StatusLine.isTerminal
    @OptionGroup var common: SlotOptions

    func validate() throws {
        guard SocketAddress(connect, port: common.port) != nil,
            bind == nil || SocketAddress(bind ?? "", port: 0) != nil
        else { throw ValidationError("--connect and --bind take numeric addresses.") }
        guard wait <= 86_400 else { throw ValidationError("--wait must be at most 86400 seconds.") }
    }

    func options(_ stop: borrowing OwnedDescriptor) throws(PeerMRError) -> DriveClient.Options {
        guard let server = SocketAddress(connect, port: common.port) else {
            throw PeerMRError(.invalidArgument, reason: "\(connect) is no numeric address")
        }
        return DriveClient.Options(
            server: server, source: bind.flatMap { SocketAddress($0, port: 0) },
            slotBytes: UInt32(common.slotSize.count), slotCount: common.slots, key: try common.key(),
            queueSeconds: wait, stop: stop.rawValue, queued: { [connect] in tellPlace($0, at: connect) })
    }

    func report(_ operation: String, _ outcome: TransferOutcome, sha256: String?, verified: Bool?) {
        let isPeer = outcome.memory == .p2pmem
        guard common.json else {
            let rate = ByteCount.describe(UInt64(Double(outcome.byteCount) / max(outcome.seconds, 1e-9)))
            let digest = sha256.map { ", sha256 \($0)" } ?? ""
            let check = verified.map { $0 ? ", verified" : ", NOT the bytes that were expected" } ?? ""
            say("\(operation) \(outcome.byteCount) bytes in \(outcome.seconds) s, \(rate)/s\(digest)\(check)")
            return
        }
        printJSON([
            ("operation", .text(operation)), ("bytes", .count(outcome.byteCount)),
            ("seconds", .number(outcome.seconds)), ("memory", .text(outcome.memory.rawValue)),
            ("method", .text(outcome.method.rawValue)), ("nic", .text(outcome.nic.rawValue)),
            ("bytesPeerToPeer", .count(isPeer ? outcome.byteCount : 0)),
            ("bytesBounced", .count(outcome.isBounce ? outcome.byteCount : 0)),
            ("sha256", sha256.map { .text($0) } ?? .null),
            ("verified", verified.map { .flag($0) } ?? .null),
        ])
    }
}

struct Put: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Sends a file, and reads it back to compare digests.")

    @OptionGroup var client: ClientArguments
    @Flag(
        inversion: .prefixedNo, help: "Read it back in the same session; compare CRC32C of chunks and SHA-256.")
    var verify = true
    @Flag(help: "Keep a record in the block behind the data: whether the put has come to its end, and the SHA-256.")
    var commit = false
    @Flag(help: "Go on where a put with --commit was cut off; implies --commit.") var resume = false
    @Argument(help: "The file to send.") var file: String

    func validate() throws {
        guard verify || !(commit || resume) else {
            throw ValidationError("--commit and --resume say what was verified: leave --no-verify out.")
        }
    }

    func run() throws {
        try program.run { () throws(PeerMRError) in
            let source = try openSource(file)
            defer { try? source.close() }
            let byteCount = try size(of: source, file)
            let stop = OwnedDescriptor(adopting: peermr_termination_descriptor())
            let options = try client.options(stop)
            guard verify else {
                client.report("put", try send(source, byteCount, options), sha256: nil, verified: nil)
                return 0
            }
            let start = resume ? try resumePoint(source, byteCount, options) : 0
            return try sendAndReadBack(source, start, byteCount, options)
        }
    }

    /// Sends what is behind `start`, compares what comes back, and keeps the record where one was asked for.
    private func sendAndReadBack(
        _ source: FileDescriptor, _ start: UInt64, _ byteCount: UInt64, _ options: DriveClient.Options
    ) throws(PeerMRError) -> Int32 {
        let offset = client.offset.count
        let whole = try Digest()
        let sent = try Digest()
        let found = try Digest()
        try hash(source, upTo: start, into: whole, stop: options.stop)
        let isKept = commit || resume
        var outcome: TransferOutcome?
        if start < byteCount {
            if isKept { try DriveClient.write(CommitRecord(offset: offset, byteCount: byteCount), options) }
            let left = byteCount - start
            var bar = ProgressBar("put", total: left, isShown: client.progress)
            var back = ProgressBar("get", total: left, isShown: client.progress)
            outcome = try DriveClient.putAndReadBack(
                left, at: offset + start, options,
                read: { bytes, place throws(PeerMRError) in
                    try fill(&bytes, from: source, at: start + place)
                    try whole.update(bytes.bytes)
                    if start > 0 { try sent.update(bytes.bytes) }
                }, progress: { bar.show($0) },
                receive: { bytes throws(PeerMRError) in try found.update(bytes) },
                receiveProgress: { back.show($0) })
        }
        let all = try whole.bytes()
        let expected = start == 0 ? all : try sent.bytes()
        let came = try found.bytes()
        if let outcome { client.report("put", outcome, sha256: describe(all), verified: came == expected) }
        guard came == expected else { throw .mismatch(describe(expected), describe(came)) }
        guard isKept else { return 0 }
        try DriveClient.write(CommitRecord(offset: offset, byteCount: byteCount, sha256: all), options)
        say("the record behind the data says that it is complete")
        return 0
    }

    private func send(
        _ source: FileDescriptor, _ byteCount: UInt64, _ options: DriveClient.Options
    ) throws(PeerMRError) -> TransferOutcome {
        var bar = ProgressBar("put", total: byteCount, isShown: client.progress)
        return try DriveClient.put(
            byteCount, at: client.offset.count, options,
            read: { bytes, offset throws(PeerMRError) in try fill(&bytes, from: source, at: offset) },
            progress: { bar.show($0) })
    }
}

struct Get: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Reads bytes of the drive into a file.")

    @OptionGroup var client: ClientArguments
    @Option(help: "How many bytes.") var length: Bytes
    @Option(help: "The file to write; without it, only the digest is computed.") var output: String?
    @Option(help: "The SHA-256 that the bytes must have, in hexadecimal.") var sha256: String?
    @Flag(help: "Write to a drive although it is mounted or holds a partition table or a file system.")
    var overwrite = false
    @Flag(help: "Take only bytes that were put with --commit, completely, and compare their SHA-256.")
    var committed = false

    func run() throws {
        try program.run { () throws(PeerMRError) in
            let drive = try claimDrive(output, length.count, overwrite: overwrite)
            // A named pipe is opened when someone reads it: until then signals end the program.
            let file = try output.map { path throws(PeerMRError) in try OutputFile(path) }
            let stop = OwnedDescriptor(adopting: peermr_termination_descriptor())
            let options = try client.options(stop)
            let sha256 = committed ? try recorded(options) : sha256
            let found = try Digest()
            var bar = ProgressBar("get", total: length.count, isShown: client.progress)
            let outcome = try DriveClient.get(
                length.count, at: client.offset.count, options,
                receive: { bytes throws(PeerMRError) in
                    try found.update(bytes)
                    try file?.append(bytes)
                }, progress: { bar.show($0) })
            let digest = try found.hexadecimal()
            let isEqual = sha256.map { $0.lowercased() == digest }
            // What is reported is durable.
            if isEqual ?? true { try file?.keep() }
            _ = consume drive
            client.report("get", outcome, sha256: digest, verified: isEqual)
            guard isEqual ?? true else { throw .mismatch(sha256, digest) }
            return 0
        }
    }
}
