// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

// What a walk along a route finds.
extension Finding {
    static func noPeerToPeer(_ kernel: KernelIdentity?, _ source: String) -> Finding {
        Finding(
            .noPeerToPeer, nil,
            "the kernel\(kernel.map { " \($0)" } ?? "") was built without CONFIG_PCI_P2PDMA (\(source)), and refuses "
                + "all peer-to-peer DMA",
            remedy: "boot a kernel that has it")
    }

    static func peerToPeerUnknown(_ source: String) -> Finding {
        Finding(
            .peerToPeerUnknown, nil,
            "whether the kernel was built with CONFIG_PCI_P2PDMA, without which it refuses all peer-to-peer DMA, is not "
                + "known: \(source)",
            remedy: "grep CONFIG_PCI_P2PDMA /boot/config-$(uname -r) there, or capture the machine with peermr snapshot"
        )
    }

    static func otherACSRule(isThere: Bool) -> Finding {
        Finding(
            .otherACSRule, nil,
            (isThere ? "this kernel has" : "this kernel may be newer than Linux \(HostBridgeList.newestRead), and have")
                + " a rule about ACS that looks at the direction of requests, which this version of PeerMR has not",
            remedy: "move data through a region and compare it: only that tells on such a kernel")
    }

    static let hypervisorUnknown = Finding(
        .hypervisorUnknown, nil,
        "a rule that allows guests of VMware and Hyper-V on Intel's processors was queued for Linux 7.4, and whether "
            + "this kernel has it is not known")

    static func noCommonUpstream(_ client: PCIAddress, _ provider: PCIAddress) -> Finding {
        Finding(
            .noCommonUpstream, nil, "\(client) and \(provider) meet nowhere below the root complex",
            remedy: "put both under one PCIe switch without ACS redirection")
    }

    static func sameFunction(_ address: PCIAddress) -> Finding {
        Finding(.sameFunction, "\(address)", "client and provider are the same function \(address)")
    }

    static func commonUpstream(_ address: PCIAddress) -> Finding {
        Finding(.commonUpstream, "\(address)", "they meet at \(address)")
    }

    static func unlistedBridge(_ address: PCIAddress) -> Finding {
        Finding(
            .placeUnreadable, "\(address)",
            "\(address) is above another function, and is not in /sys/bus/pci/devices",
            remedy: "capture the whole of /sys/bus/pci and /sys/devices")
    }

    /// Whether a function on the way sends requests up; nil where it does not.
    static func redirect(_ function: PCIFunction) -> Finding? {
        let address = function.address
        switch function.accessControl {
        case .absent: return nil
        case .control(let control):
            guard !control.isDisjoint(with: .redirecting) else { return nil }
            return Finding(
                .acsRedirect, "\(address)",
                "\(address) sends peer-to-peer requests up to the root complex (ACS control "
                    + "0x\(String(control.rawValue, radix: 16)))",
                remedy: withoutRedirection(ACSParameter([function])))
        case .unknown(.dead):
            return Finding(
                .deadDevice, "\(address)", "\(address) does not answer: it is gone, or asleep",
                remedy: "wake it (echo on > /sys/bus/pci/devices/\(address)/power/control), or rescan the bus")
        case .unknown(let reason):
            return Finding(
                .configUnreadable, "\(address)",
                "whether \(address) redirects peer-to-peer requests cannot be read (\(reason.words))",
                remedy: reason.remedy)
        }
    }

    static let cpuUnknown = Finding(
        .cpuUnknown, nil, "the processor cannot be read from /proc/cpuinfo", remedy: "capture it too")

    static let processorRuleUnknown = Finding(
        .cpuUnknown, nil,
        "whether this kernel allows peer-to-peer through every host bridge of AMD's processors, as Linux does since 5.9, "
            + "is not known")

    static func cpuAllows(_ cpu: CPU) -> Finding {
        Finding(
            .cpuAllows, nil,
            "the kernel allows peer-to-peer through every host bridge of this processor (AMD family "
                + "\(String(cpu.family ?? 0, radix: 16))h)")
    }

    static func hostBridge(_ bridge: HostBridgePolicy, allows: Bool?) -> Finding {
        let code: Code =
            switch allows {
            case nil: .hostBridgeUnknown
            case true?: .hostBridgeListed
            case false?: .hostBridgeNotListed
            }
        return Finding(
            code, "\(bridge.bus)", bridge.reason,
            // Of one that is not on the list, what leads to it has the remedy.
            remedy: allows == nil ? "put both under one PCIe switch without ACS redirection" : nil)
    }

    /// By bus address, requests pass the IOMMU by; nil where it translates nothing.
    static func bypassesIOMMU(_ client: PCIFunction) -> Finding? {
        iommu(client) { "requests of \(client.address) go by bus address past its IOMMU (\($0))" }
    }

    /// Through the host bridge, requests go through the IOMMU; nil where it translates nothing.
    static func passesIOMMU(_ client: PCIFunction) -> Finding? {
        iommu(client) {
            "\(client.address) reaches it through its IOMMU (\($0)), which costs throughput on some machines"
        }
    }

    private static func iommu(_ client: PCIFunction, _ detail: (String) -> String) -> Finding? {
        guard client.iommu.translates, case .domain(let type, let group) = client.iommu else { return nil }
        return Finding(.iommu, "\(client.address)", detail("group \(group), \(type)"))
    }
}
