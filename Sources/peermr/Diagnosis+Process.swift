// SPDX-License-Identifier: Apache-2.0

import Glibc
import PCITopology
import PeerMR
import PeerMRCore

// What can be told on the running machine only.
extension Diagnosis {
    static func ofTheProcess(_ machine: Machine) -> [Diagnosis] {
        var found = memlockLimit()
        if geteuid() != 0,
            machine.topology.functions.contains(where: { $0.accessControl == .unknown(.needsPrivilege) })
        {
            found.append(
                Diagnosis(
                    .unknown, "needsPrivilege", nil,
                    "the kernel shows access control services to CAP_SYS_ADMIN only, so that routes below one "
                        + "bridge may stay unknown",
                    remedy: "sudo peermr doctor"))
        }
        found += libraries(machine)
        for device in machine.rdma {
            let answer = Assessment.api(ofRDMADevice: device.name, topology: machine.topology)
            switch answer.outcome {
            case .yes: break
            case .no:
                found.append(Diagnosis(.limits, "noOnDemandPaging", device.name, answer.reason, remedy: answer.remedy))
            case .unknown:
                found.append(Diagnosis(.unknown, "deviceSilent", device.name, answer.reason, remedy: answer.remedy))
            }
        }
        return found
    }

    /// Host memory is pinned, and counted against a limit; on-demand regions and dma-bufs are not.
    private static func memlockLimit() -> [Diagnosis] {
        let lock = MemoryLock.current()
        guard let limit = lock.limit, limit < 64 << 20, !lock.isLifted else { return [] }
        return [
            Diagnosis(
                .limits, "memoryLock", nil,
                "this process may lock \(ByteCount.describe(limit)) of memory, which is soon used up by "
                    + "buffers in host memory and by queues",
                remedy: "ulimit -l unlimited, or in /etc/security/limits.conf: * - memlock unlimited")
        ]
    }

    /// The first rdma-core whose provider library registers dma-bufs, by the PCI driver of the NIC.
    private static let neededCore: [String: Int] = [
        "mlx5_core": 34, "efa": 38, "ice": 45, "i40e": 45, "idpf": 45, "bnxt_en": 48, "mana": 56, "ionic": 61,
    ]

    private static func libraries(_ machine: Machine) -> [Diagnosis] {
        guard let version = coreVersion() else { return [] }
        return machine.rdma.compactMap { oldCore(of: $0, machine.topology, version) }
    }

    private static func oldCore(of device: NamedDevice, _ topology: Topology, _ version: Int) -> Diagnosis? {
        guard let address = device.function, let driver = topology.function(at: address)?.driver,
            let needed = neededCore[driver], version < needed
        else { return nil }
        return Diagnosis(
            .limits, "oldCore", device.name,
            "rdma-core \(version) cannot register dma-bufs with \(device.name) (\(driver)): version \(needed) can",
            remedy: "install rdma-core \(needed) or newer, from your distribution's backports for example")
    }

    /// The version of rdma-core, out of the name of the library that is loaded: `libibverbs.so.1.14.44.0` is 44.
    private static func coreVersion() -> Int? {
        guard let bytes = SystemRoot.live.contents("proc/self/maps", limit: 1 << 20) else { return nil }
        for line in bytes.split(separator: 10) {
            let text = String(decoding: line, as: UTF8.self)
            guard let name = text.split(separator: "/").last, name.hasPrefix("libibverbs.so.") else { continue }
            let numbers = name.dropFirst("libibverbs.so.".count).split(separator: ".")
            if numbers.count >= 4 { return Int(numbers[2]) }
        }
        return nil
    }
}
