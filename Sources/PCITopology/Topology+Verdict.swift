// SPDX-License-Identifier: Apache-2.0

extension Topology {
    /// The kernel's decision, step by step as in drivers/pci/p2pdma.c, `calc_map_type_and_dist`.
    ///
    /// The two addresses are functions of this topology, given by their places in ``functions``.
    func verdict(client: Int, provider: Int) -> Verdict {
        let a = nodes[provider].ancestors
        let b = nodes[client].ancestors
        let meeting = meeting(a, b)
        if hasPeerToPeer == false {
            // Without the option the kernel's decision is an empty function that refuses.
            let distance = meeting.map { $0.0 + $0.1 } ?? a.count + b.count
            return Verdict(mapType: .notSupported, isSupported: false, distance: distance)
        }
        guard let (up, over) = meeting else {
            return judged(throughBridges(client, provider), distance: a.count + b.count)
        }
        var redirect = Node.Redirect.no
        for index in a[...up] { redirect = redirect.joined(state(index)) }
        for index in b[..<over] { redirect = redirect.joined(state(index)) }
        switch redirect {
        case .no: return Verdict(mapType: .busAddress, isSupported: true, distance: up + over)
        case .yes: return judged(throughBridges(client, provider), distance: up + over)
        case .unknown:
            // Refused or by bus address; or allowed either way.
            let isAllowed = throughBridges(client, provider) == true
            return Verdict(
                mapType: .unknown, isSupported: isAllowed ? true : nil, distance: up + over)
        }
    }

    private func state(_ index: Int32) -> Node.Redirect {
        index >= 0 ? nodes[Int(index)].redirect : .unknown
    }

    /// Where two chains meet first, counted from the provider: the steps up from either. Nil where they do not.
    func meeting(_ a: [Int32], _ b: [Int32]) -> (Int, Int)? {
        // Chains that meet are the same from there to the root bus: compare them from that end.
        var common = 0
        while common < a.count, common < b.count,
            a[a.count - 1 - common] == b[b.count - 1 - common]
        { common += 1 }
        return common == 0 ? nil : (a.count - common, b.count - common)
    }

    private func judged(_ isAllowed: Bool?, distance: Int) -> Verdict {
        Verdict(
            mapType: isAllowed.map { $0 ? .throughHostBridge : .notSupported } ?? .unknown,
            isSupported: isAllowed, distance: distance)
    }

    /// Whether the way through the host bridges is allowed; nil where that cannot be known.
    func throughBridges(_ client: Int, _ provider: Int) -> Bool? {
        if cpu?.allowsAnyHostBridge ?? false { return true }
        let here = bridges[Int(nodes[provider].bridge)]
        let there = bridges[Int(nodes[client].bridge)]
        let listed: Bool? =
            here.bus == there.bus
            ? here.allowsWithin : Self.both(here.allowsAcross, there.allowsAcross)
        // Without knowing the processor, a bridge that is not on the list may still be allowed.
        return cpu == nil && listed != true ? nil : listed
    }

    private static func both(_ a: Bool?, _ b: Bool?) -> Bool? {
        if a == false || b == false { return false }
        return a == nil || b == nil ? nil : true
    }
}

extension Node.Redirect {
    /// Of two functions on one way: a redirect that is known decides, before one that is not.
    func joined(_ other: Node.Redirect) -> Node.Redirect {
        if self == .yes || other == .yes { return .yes }
        return self == .unknown || other == .unknown ? .unknown : .no
    }
}

extension Topology {
    /// The verdicts for many clients and providers, without reasons: a row for each client.
    ///
    /// Whoever is not there, or is a bridge, has no route: `notSupported`, with a negative distance.
    public func verdicts(from clients: [PCIAddress], to providers: [PCIAddress]) -> [[Verdict]] {
        let columns = providers.map { ($0, place(of: $0)) }
        return clients.map { client in
            let row = place(of: client)
            return columns.map { provider, column in
                guard let row, let column else {
                    return route(from: client, to: provider).verdict
                }
                return verdict(client: row, provider: column)
            }
        }
    }

    private func place(of address: PCIAddress) -> Int? {
        index(of: address).flatMap { functions[$0].isBridge ? nil : $0 }
    }
}
