// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

/// What `peermr register` did and found.
struct RegistrationReport {
    let specification: MemorySpecification
    let device: Device
    private(set) var api: Answer
    private(set) var exporter = Answer(.unknown, "not asked: the device lacks the call")
    private(set) var route = Answer(.unknown, "not asked")
    private(set) var proof: Proof?
    private(set) var made: Made?
    /// Why there is no region, or no proof.
    private(set) var error: PeerMRError?
    private let wanted: ProofOptions?

    /// A region that stood, in numbers.
    struct Made {
        let method: PeerMR.Method
        let exporter: String?
        let provider: PCIAddress?
        let keys: RegionKeys
        let padding: (before: UInt64, after: UInt64)
        let nanoseconds: UInt64
    }

    init(
        specification: MemorySpecification, context: Context, access: Access, ioAddress: UInt64?,
        proof wanted: ProofOptions?
    ) {
        self.specification = specification
        device = context.device
        self.wanted = wanted
        api = Self.api(for: specification, context)
        do throws(PeerMRError) {
            try register(context, access, ioAddress)
        } catch {
            self.error = error
        }
    }

    private mutating func register(
        _ context: Context, _ access: Access, _ ioAddress: UInt64?
    ) throws(PeerMRError) {
        let domain = try ProtectionDomain(context)
        if case .nic(let byteCount) = specification {
            let memory: DeviceMemory
            do throws(PeerMRError) {
                memory = try DeviceMemory(allocating: byteCount, on: context)
            } catch {
                api = Answer(.no, error.reason, remedy: error.remedy)
                throw error
            }
            api = Answer(.yes, "\(device) gives programs memory of its own")
            exporter = Answer(.yes, "\(device) gave \(ByteCount.describe(byteCount)) of it")
            route = Answer(.yes, "it is the device's own: nothing lies between")
            return try finish(PeerRegion(registering: memory, on: domain, access: access))
        }
        // A device that cannot import a dma-buf says so before anything is allocated or opened for it.
        if specification.isBuffer, api.outcome == .no {
            _ = try MethodChoice.choose(for: .dmabuf, facts: try RegistrationInfo(of: context, for: .dmabuf))
        }
        let memory = try open()
        let provider = memory.provider
        route = Self.route(specification, device, provider)
        try finish(
            PeerRegion(
                registering: memory, on: domain, access: access, options: RegistrationOptions(ioAddress: ioAddress)))
    }

    private mutating func open() throws(PeerMRError) -> AnyMemory {
        do throws(PeerMRError) {
            let memory = try specification.open()
            let size = ByteCount.describe(memory.byteCount)
            exporter =
                switch memory {
                case .host: Answer(.yes, "\(size) of the host's memory")
                case .p2pmem(let memory): Answer(.yes, "\(memory.provider) gave \(size) of its p2pmem")
                case .dmabuf(let memory): Answer(.yes, "\(memory.buffer.exporter) hands out \(size)")
                }
            return memory
        } catch {
            exporter = Answer(.no, error.reason, remedy: error.remedy)
            throw error
        }
    }

    private mutating func finish(_ region: borrowing PeerRegion) throws(PeerMRError) {
        made = Made(
            method: region.choice.method, exporter: region.exporter, provider: region.provider, keys: region.keys,
            padding: region.padding, nanoseconds: region.registrationNanoseconds)
        if let wanted { proof = try region.prove(wanted) }
    }

    /// Whether the device has the call that this memory needs.
    private static func api(for specification: MemorySpecification, _ context: Context) -> Answer {
        switch specification {
        case .host: return Answer(.yes, "\(context.device) registers host memory, as every RDMA device does")
        case .p2pmem(let provider, _):
            return Capability(of: provider, for: .rdmaDevice(context.device.name), memory: .p2pmem).api
        case .nic: return Answer(.unknown, "not asked")
        default: return Capability.buffers(of: context)
        }
    }

    private static func route(
        _ specification: MemorySpecification, _ device: Device, _ provider: PCIAddress?
    ) -> Answer {
        if let provider { return Capability.route(of: provider, for: .rdmaDevice(device.name)) }
        return switch specification {
        case .host, .udmabuf, .heap: Answer(.yes, "the memory is the host's: no other device lies between")
        default:
            Answer(
                .unknown, "the kernel does not tell whose memory a dma-buf is",
                remedy: "peermr check PROVIDER \(device), where you know")
        }
    }

    /// The exit status.
    var status: Int32 {
        if let error {
            return [.invalidArgument, .notFound].contains(error.code) ? Status.badInput : Status.notSupported
        }
        return proof?.state == .disproven ? Status.notSupported : Status.supported
    }
}

extension MemorySpecification {
    /// Whether it is had as a dma-buf.
    fileprivate var isBuffer: Bool {
        switch self {
        case .host, .p2pmem, .nic: false
        default: true
        }
    }
}

// MARK: - Output

extension RegistrationReport {
    private var data: Answer {
        if let proof { return proof.answer }
        return made == nil ? Answer(.unknown, "not proven: there is no region") : Proof.none.answer
    }

    private var answers: [(String, Answer)] {
        [("api", api), ("exporter", exporter), ("route", route), ("data", data)]
    }

    var json: JSONValue {
        var fields: [(String, JSONValue)] = [
            ("device", .text("\(device)")), ("memory", .text("\(specification)")),
            ("method", .optional(made?.method.rawValue)), ("exporter", .optional(made?.exporter)),
            ("provider", .optional(made?.provider.map { "\($0)" })),
            ("localKey", made.map { .count($0.keys.localKey) } ?? .null),
            ("remoteKey", made.map { .count($0.keys.remoteKey) } ?? .null),
            // As text: programs that read JSON numbers as doubles would round it.
            ("ioAddress", .optional(made.map { "0x" + String($0.keys.address, radix: 16) })),
            ("length", made.map { .count($0.keys.byteCount) } ?? .null),
            (
                "slack",
                made.map { .object([("before", .count($0.padding.before)), ("after", .count($0.padding.after))]) }
                    ?? .null
            ),
            ("registerMicroseconds", made.map { .number(Double($0.nanoseconds) / 1000) } ?? .null),
            ("answers", .object(answers.map { ($0, $1.json) })),
            ("proof", proof?.json ?? (made == nil ? .null : Proof.none.json)),
        ]
        if let error { fields.append(("error", error.json)) }
        return .object(fields)
    }

    var text: String {
        var text = "\(specification) on \(device): "
        if let made {
            text += "registered\(proof.map { ", \($0.state.rawValue)" } ?? "")\n\n"
            var rows = [
                ["method", made.method.rawValue],
                [
                    "keys",
                    "local 0x\(String(made.keys.localKey, radix: 16)), remote "
                        + "0x\(String(made.keys.remoteKey, radix: 16))",
                ],
                ["I/O address", "0x\(String(made.keys.address, radix: 16))"],
                ["length", "\(made.keys.byteCount) bytes"],
                ["took", "\(Double(made.nanoseconds / 100) / 10) µs"],
            ]
            if let exporter = made.exporter { rows.insert(["exporter", exporter], at: 1) }
            if let provider = made.provider { rows.insert(["provider", "\(provider)"], at: 1) }
            if made.padding.before + made.padding.after > 0 {
                rows.append([
                    "slack",
                    "the keys open \(made.padding.before) bytes before it and \(made.padding.after) after it, too",
                ])
            }
            text += Table.plain(rows)
        } else {
            text += "not registered\n"
        }
        var rows: [[String]] = []
        for (name, answer) in answers {
            rows.append([name, answer.outcome.rawValue, answer.reason])
            if let remedy = answer.remedy { rows.append(["", "", "→ \(remedy)"]) }
        }
        return text + "\n" + Table.plain(rows)
    }
}

extension Proof {
    /// For programs.
    var json: JSONValue {
        .object([
            ("state", .text(state.rawValue)), ("intoMemory", .text(intoMemory.rawValue)),
            ("outOfMemory", .text(outOfMemory.rawValue)),
            ("firstDifference", firstDifference.map { .count($0) } ?? .null), ("bytes", .count(byteCount)),
            ("milliseconds", .number(Double(nanoseconds / 1000) / 1000)), ("reason", .text(reason)),
        ])
    }
}
