// SPDX-License-Identifier: Apache-2.0

extension Topology {
    func kernelFindings() -> [Finding] {
        guard hasPeerToPeer == false else { return [] }
        return [
            Finding(
                .noPeerToPeer, nil,
                "the kernel\(kernel.map { " \($0)" } ?? "") was built without CONFIG_PCI_P2PDMA, and refuses all "
                    + "peer-to-peer DMA",
                remedy: "boot a kernel that has it")
        ]
    }

    func meetingFindings(client: Int, provider: Int) -> [Finding] {
        let a = nodes[provider].ancestors
        let b = nodes[client].ancestors
        guard let (up, over) = meeting(a, b) else {
            return [
                Finding(
                    .noCommonUpstream, nil,
                    "\(functions[client].address) and \(functions[provider].address) meet nowhere below the root "
                        + "complex",
                    remedy: "put both under one PCIe switch")
            ]
        }
        let common = address(at: a[up])
        let first =
            client == provider
            ? Finding(.sameFunction, "\(common)", "client and provider are the same function \(common)")
            : Finding(.commonUpstream, "\(common)", "they meet at \(common)")
        let way = a[...up].map { $0 } + b[..<over].map { $0 }
        return [first] + way.compactMap { redirectFinding(at: $0) }
    }

    private func redirectFinding(at index: Int32) -> Finding? {
        guard index >= 0 else {
            return Finding(
                .placeUnreadable, "\(address(at: index))",
                "\(address(at: index)) is above another function, and is not in /sys/bus/pci/devices",
                remedy: "capture the whole of /sys/bus/pci and /sys/devices")
        }
        let function = functions[Int(index)]
        let address = function.address
        switch function.accessControl {
        case .absent: return nil
        case .control(let control):
            guard !control.isDisjoint(with: .redirecting) else { return nil }
            return Finding(
                .acsRedirect, "\(address)",
                "\(address) sends peer-to-peer requests up to the root complex (ACS control "
                    + "0x\(String(control.rawValue, radix: 16)))",
                remedy: "boot with pci=disable_acs_redir=\(address), or switch ACS redirection off in the firmware")
        case .unknown(.dead):
            return Finding(
                .deadDevice, "\(address)", "\(address) does not answer: it is gone, or asleep",
                remedy: "wake it (echo on > /sys/bus/pci/devices/\(address)/power/control), or rescan the bus")
        case .unknown(let reason):
            return Finding(
                .configUnreadable, "\(address)",
                "whether \(address) redirects peer-to-peer requests cannot be read (\(reason.words))",
                remedy: reason == .needsPrivilege ? "run this as root" : nil)
        }
    }

    func bridgeFindings(client: Int, provider: Int) -> [Finding] {
        guard let cpu else {
            return [
                Finding(
                    .cpuUnknown, nil, "the processor cannot be read from /proc/cpuinfo",
                    remedy: "capture it too")
            ] + listFindings(client, provider)
        }
        if cpu.allowsAnyHostBridge {
            return [
                Finding(
                    .cpuAllows, nil,
                    "the kernel allows peer-to-peer through every host bridge of this processor (AMD family "
                        + "\(String(cpu.family ?? 0, radix: 16))h)"
                )
            ]
        }
        return listFindings(client, provider)
    }

    private func listFindings(_ client: Int, _ provider: Int) -> [Finding] {
        let here = bridges[Int(nodes[provider].bridge)]
        let there = bridges[Int(nodes[client].bridge)]
        let isOne = here.bus == there.bus
        return (isOne ? [here] : [here, there]).map { bridge in
            let allows = isOne ? bridge.allowsWithin : bridge.allowsAcross
            let code: Finding.Code =
                allows == nil ? .hostBridgeUnknown : allows == true ? .hostBridgeListed : .hostBridgeNotListed
            return Finding(
                code, "\(bridge.bus)", bridge.reason,
                remedy: allows == true ? nil : "put both under one PCIe switch without ACS redirection")
        }
    }

    func translationFindings(_ verdict: Verdict, client: Int) -> [Finding] {
        guard case .domain(let type, let group) = functions[client].iommu else { return [] }
        let address = functions[client].address
        switch verdict.mapType {
        case .busAddress where functions[client].iommu.translates:
            return [
                Finding(
                    .iommu, "\(address)",
                    "requests of \(address) go by bus address past its IOMMU (group \(group), \(type))")
            ]
        case .throughHostBridge where functions[client].iommu.translates:
            return [
                Finding(
                    .iommu, "\(address)",
                    "\(address) reaches it through its IOMMU (group \(group), \(type)), which costs throughput on "
                        + "some machines")
            ]
        default: return []
        }
    }
}
