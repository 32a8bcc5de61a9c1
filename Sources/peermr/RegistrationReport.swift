// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

/// What `peermr register` did and found.
struct RegistrationReport {
    let specification: MemorySpecification
    let device: Device
    private(set) var assessment: Assessment
    private(set) var proof: Proof?
    private(set) var made: Made?
    /// Why there is no region, or no proof.
    private(set) var error: PeerMRError?

    /// A region that was registered, in numbers.
    struct Made {
        let method: PeerMR.Method
        let exporter: String?
        let owner: MemoryOwner
        let dataDirect: PCIAddress?
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
        assessment = Assessment(of: specification.kind, on: context)
        do throws(PeerMRError) {
            let memory = try open(on: context)
            assessment = Assessment(of: memory, on: context)
            let region = try PeerRegion(
                registering: memory, on: try ProtectionDomain(context), access: access,
                options: RegistrationOptions(ioAddress: ioAddress))
            made = Made(
                method: region.choice.method, exporter: region.exporter, owner: region.owner,
                dataDirect: region.plan.dataDirectFunction,
                provider: region.provider, keys: region.keys,
                padding: region.padding, nanoseconds: region.registrationNanoseconds)
            assessment.record(Proof.none)
            if let wanted {
                let proof = try region.prove(wanted)
                self.proof = proof
                assessment.record(proof)
            }
        } catch {
            self.error = error
        }
    }

    private mutating func open(on context: Context) throws(PeerMRError) -> any Memory {
        // A device that cannot import a dma-buf says so before anything is allocated or opened for it.
        if specification.kind == .dmabuf, case .failure(let refusal)? = assessment.plan { throw refusal }
        do throws(PeerMRError) {
            return try specification.open(on: context)
        } catch {
            assessment.record(refusal: error)
            throw error
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

// MARK: - Output

extension RegistrationReport {
    private var data: Answer {
        made == nil ? Answer(.unknown, "not proven: there is no region") : assessment.data
    }

    private var answers: [(String, Answer)] {
        [("api", assessment.api), ("exporter", assessment.exporter), ("route", assessment.route), ("data", data)]
    }

    var json: JSONValue {
        var fields: [(String, JSONValue)] = [
            ("device", .text("\(device)")), ("memory", .text("\(specification)")),
            ("method", .optional(made?.method.rawValue)), ("exporter", .optional(made?.exporter)),
            ("provider", .optional(made?.provider.map { "\($0)" })),
            ("owner", .optional(made?.owner.rawValue)),
            ("dataDirect", .optional(made?.dataDirect.map { "\($0)" })),
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
        var text = "\(specification) on \(device): ".printable
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
            rows.insert(["owner", made.owner.words], at: 1)
            if let function = made.dataDirect { rows.insert(["data direct", "by \(function)"], at: 1) }
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

extension MemoryOwner {
    /// For people.
    var words: String {
        switch self {
        case .host: "host: the memory is the host's"
        case .peer: "peer: the memory is another device's"
        case .nic: "nic: the memory is the RDMA device's own"
        case .unknown: "unknown: the memory is a device's, or the host's in its place"
        }
    }
}

extension Proof {
    /// For programs.
    var json: JSONValue {
        .object([
            ("state", .text(state.rawValue)), ("intoMemory", .text(intoMemory.rawValue)),
            ("outOfMemory", .text(outOfMemory.rawValue)), ("owner", .text(owner.rawValue)),
            ("firstDifference", firstDifference.map { .count($0) } ?? .null), ("bytes", .count(byteCount)),
            ("milliseconds", .number(Double(nanoseconds / 1000) / 1000)), ("reason", .text(reason)),
        ])
    }
}
