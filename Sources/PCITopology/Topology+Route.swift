// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

extension Topology {
    /// How a client's DMA would reach a provider's memory, in the kernel's own terms, with the reasons.
    ///
    /// - Parameters:
    ///   - client: the function that would read or write.
    ///   - provider: the function whose memory it is.
    /// - Returns: a map type of `unknown` where the kernel's answer depends on what could not be read; never a guess.
    public func route(from client: PCIAddress, to provider: PCIAddress) -> Route {
        for address in [provider, client] {
            if let refusal = refusal(at: address) { return refusal }
        }
        guard let a = index(of: provider), let b = index(of: client) else {
            return .none(.noSuchFunction(client))
        }
        var findings = RecordedFindings()
        let verdict = walk(client: b, provider: a, recording: &findings)
        return Route(verdict: verdict, findings: findings.all).withNeededRemedies(function(at:))
    }

    /// Why there is no route from or to an address, whatever the other one is; nil where there may be one.
    private func refusal(at address: PCIAddress) -> Route? {
        if !isShown { return .unknown(.notShown) }
        guard let function = function(at: address) else {
            return unlocated.contains(address)
                ? .unknown(.unlocated(address)) : .none(.noSuchFunction(address))
        }
        return function.isBridge ? .none(.bridge(address)) : nil
    }

    /// How an RDMA device reaches a provider: software devices and those on other buses have no route.
    public func route(fromRDMADevice name: String, to provider: PCIAddress) -> Route {
        guard let attachment = rdmaDevices[name] else {
            return isShown ? .none(.noSuchRDMADevice(name)) : .unknown(.notShown)
        }
        return route(from: attachment, called: name, to: provider)
    }

    /// How a block device reaches a provider: those that are on no PCI function have no route.
    public func route(fromBlockDevice name: String, to provider: PCIAddress) -> Route {
        guard let attachment = blockDevices[name] else {
            return isShown ? .none(.noSuchBlockDevice(name)) : .unknown(.notShown)
        }
        return route(from: attachment, called: name, to: provider)
    }

    /// How a device with a name reaches a provider.
    public func route(
        from attachment: Attachment, called name: String, to provider: PCIAddress
    ) -> Route {
        if case .function(let client) = attachment { return route(from: client, to: provider) }
        if let refusal = refusal(at: provider) { return refusal }
        switch attachment {
        case .function(let client): return route(from: client, to: provider)
        case .paths(let clients) where clients.count == 1: return route(from: clients[0], to: provider)
        case .paths(let clients): return worst(.paths(name, clients), clients, provider)
        case .array(let level, let clients): return worst(.array(name, level, clients), clients, provider)
        case .software: return .none(.software(name))
        case .notPCI: return .none(.notPCI(name))
        case .stacked(let parts): return .none(.stacked(name, parts))
        case .unreadable: return .unknown(.unreadable(name))
        }
    }

    /// The kernel takes any of a device's paths or members: what one of them cannot do may fail at any time.
    private func worst(_ cause: Finding, _ clients: [PCIAddress], _ provider: PCIAddress) -> Route {
        let routes = clients.map { route(from: $0, to: provider) }
        func rank(_ verdict: Verdict) -> Int { verdict.isSupported.map { $0 ? 2 : 0 } ?? 1 }
        let sorted = [0, 1, 2].flatMap { value in routes.filter { rank($0.verdict) == value } }
        guard let worst = sorted.first else { return .unknown(.unreadable(cause.device ?? "it")) }
        var findings = [cause]
        // What is a reason against one path stands before the same where it is none.
        for finding in sorted.flatMap(\.findings)
        where !findings.contains(where: { $0.with(remedy: nil) == finding.with(remedy: nil) }) {
            findings.append(finding)
        }
        return Route(verdict: worst.verdict, findings: findings).withOneParameter(function(at:))
    }
}

extension Topology {
    /// The verdicts for many clients and providers, without reasons: a row for each client.
    ///
    /// Where one of the two does not exist or is a bridge, there is no route: `notSupported`, a negative distance.
    public func verdicts(from clients: [PCIAddress], to providers: [PCIAddress]) -> [[Verdict]] {
        let columns = providers.map { ($0, place(of: $0)) }
        return clients.map { client in
            let row = place(of: client)
            return columns.map { provider, column in
                guard let row, let column else {
                    return route(from: client, to: provider).verdict
                }
                var none = NoFindings()
                return walk(client: row, provider: column, recording: &none)
            }
        }
    }

    func place(of address: PCIAddress) -> Int? {
        index(of: address).flatMap { functions[$0].isBridge ? nil : $0 }
    }
}
