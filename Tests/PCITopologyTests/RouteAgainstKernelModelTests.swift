// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore
import TestSupport
import Testing

/// PCITopology against the naive decision, on machines drawn at random.
@Suite struct RouteAgainstKernelModelTests {
    private static let kernels = [(6, 1), (6, 12), (7, 2), (7, 3)]

    /// What is taken away from what can be read.
    private struct Hidden {
        var controls: Set<Int> = []
        var identities: Set<Int> = []
        var portTypes: Set<Int> = []
        var cpu = false
        var kernel = false
    }

    private func topology(_ model: KernelModel, _ hidden: Hidden = Hidden()) -> Topology {
        let functions = model.functions.indices.map { index in
            let function = model.functions[index]
            let hidesIdentity = hidden.identities.contains(index)
            let control: AccessControl =
                hidden.controls.contains(index)
                ? .unknown(.needsPrivilege) : function.control.map { .bits($0) } ?? .absent
            return PCIFunction(
                address: function.address, chain: model.chain(index),
                rootBus: model.hosts[function.host].bus, vendor: hidesIdentity ? nil : function.vendor,
                device: hidesIdentity ? nil : function.device, classCode: model.classCode(index),
                accessControl: control,
                portType: hidden.portTypes.contains(index)
                    ? nil : PortType(rawValue: function.portType ?? 0xff))
        }
        let first = model.hosts.compactMap { host in
            host.devices.first.map { (host.bus, model.functions[$0].address) }
        }
        return Topology(
            functions: functions, firstDevices: Dictionary(uniqueKeysWithValues: first),
            cpu: hidden.cpu ? nil : CPU(vendor: model.cpuVendor, family: model.cpuFamily),
            kernel: hidden.kernel ? nil : KernelIdentity(KernelRelease(model.kernel.0, model.kernel.1)))
    }

    @Test func agreesOn20000Machines() {
        var random = SeededGenerator(seed: 20_000)
        var pairs = 0
        var seen: [String: Int] = [:]
        for number in 0..<20_000 {
            let model = KernelModel.random(&random, kernels: Self.kernels)
            let ends = model.ends
            guard !ends.isEmpty else { continue }
            let topology = topology(model)
            for _ in 0..<3 {
                guard let a = ends.randomElement(using: &random), let b = ends.randomElement(using: &random)
                else { continue }
                let wanted = model.decide(provider: a, client: b)
                let route = topology.route(
                    from: model.functions[b].address, to: model.functions[a].address)
                pairs += 1
                seen[wanted.mapType.rawValue, default: 0] += 1
                let found = route.verdict
                let redirecting = route.findings.filter { $0.code == .acsRedirect }.compactMap(\.device)
                if found.mapType.rawValue != wanted.mapType.rawValue || found.distance != wanted.distance
                    || found.isSupported != (wanted.mapType != .notSupported)
                    || redirecting.count != wanted.redirecting.count
                    || !redirecting.isEmpty && redirecting != wanted.redirecting.map(\.description)
                {
                    Issue.record("machine \(number): \(a) \(b): \(found), the kernel \(wanted), in \(model)")
                    return
                }
            }
        }
        #expect(pairs > 40_000)
        #expect(seen.values.allSatisfy { $0 > 3_000 } && seen.count == 3, "\(seen)")
    }

    // MARK: With things that cannot be read

    /// All machines that look the same where something is hidden.
    private func worlds(_ model: KernelModel, _ hidden: Hidden) -> [KernelModel] {
        var worlds = [model]
        func vary<Value>(_ values: [Value], _ change: (inout KernelModel, Value) -> Void) {
            worlds = worlds.flatMap { world in
                values.map { value in
                    var other = world
                    change(&other, value)
                    return other
                }
            }
        }
        for index in hidden.controls { vary([nil, 0x04]) { $0.functions[index].control = $1 } }
        for index in hidden.identities {
            vary([(0x8086, 0x2030), (0x8086, 0x2f00), (0x8086, 0x29c0)]) {
                ($0.functions[index].vendor, $0.functions[index].device) = $1
            }
        }
        // Only a bridge can be a root port.
        for index in hidden.portTypes where model.functions[index].isBridge {
            vary([4, 0]) { $0.functions[index].portType = $1 }
        }
        if hidden.cpu {
            vary([("GenuineIntel", 6), ("AuthenticAMD", 0x17)]) { ($0.cpuVendor, $0.cpuFamily) = $1 }
        }
        // It may have no list and no rule, or rows that nobody has read.
        if hidden.kernel { vary(Self.kernels + [(4, 20), (9, 9), (9, 10)]) { $0.kernel = $1 } }
        return worlds
    }

    private func hide(_ model: KernelModel, _ random: inout SeededGenerator) -> Hidden {
        var hidden = Hidden(cpu: random.next() % 4 == 0, kernel: random.next() % 4 == 0)
        let all = Array(model.functions.indices)
        hidden.controls = Set(all.shuffled(using: &random).prefix(Int(random.next() % 4)))
        for host in model.hosts {
            guard let first = host.devices.first else { continue }
            if random.next() % 5 == 0 { hidden.identities.insert(first) }
            if random.next() % 5 == 0 { hidden.portTypes.insert(first) }
        }
        return hidden
    }

    /// The answer is known where all machines that look like this one answer the same, and unknown elsewhere.
    @Test func knowsWhatCanBeKnownOf3000Machines() {
        var random = SeededGenerator(seed: 3_000)
        var unknown = 0
        for number in 0..<3_000 {
            let model = KernelModel.random(&random, kernels: Self.kernels)
            guard let a = model.ends.randomElement(using: &random),
                let b = model.ends.randomElement(using: &random)
            else { continue }
            let hidden = hide(model, &random)
            let decisions = worlds(model, hidden).map { $0.decide(provider: a, client: b) }
            let types = Set(decisions.map(\.mapType))
            let allowed = Set(types.map { $0 != .notSupported })
            let found = topology(model, hidden).route(
                from: model.functions[b].address, to: model.functions[a].address
            ).verdict
            let type = types.count == 1 ? types.first?.rawValue : "unknown"
            if found.mapType.rawValue != type || found.distance != decisions[0].distance
                || found.isSupported != (allowed.count == 1 ? allowed.first : nil)
            {
                Issue.record("machine \(number): \(a) \(b): \(found), not \(types), hidden \(hidden), in \(model)")
                return
            }
            if found.isSupported == nil { unknown += 1 }
        }
        #expect(unknown > 300)
    }
}
