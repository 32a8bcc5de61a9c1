// SPDX-License-Identifier: Apache-2.0

/// What a walk along a route tells beside its verdict. A finding is made only where the recorder keeps it.
protocol FindingRecorder {
    mutating func record(_ finding: @autoclosure () -> Finding?)
}

/// Keeps nothing: the verdict alone is wanted.
struct NoFindings: FindingRecorder {
    @inline(__always)
    mutating func record(_ finding: @autoclosure () -> Finding?) {}
}

/// Keeps all findings, in the order in which the kernel looks.
struct RecordedFindings: FindingRecorder {
    private(set) var all: [Finding] = []
    mutating func record(_ finding: @autoclosure () -> Finding?) {
        if let finding = finding() { all.append(finding) }
    }
}

extension Topology {
    /// The kernel's decision, step by step as in drivers/pci/p2pdma.c, `calc_map_type_and_dist`.
    ///
    /// The two ends are functions of this topology, given by their places in ``functions``.
    func walk(client: Int, provider: Int, recording recorder: inout some FindingRecorder) -> Verdict {
        // Without the option the kernel's decision is an empty function that refuses.
        if hasPeerToPeer == false {
            recorder.record(.noPeerToPeer(kernelIdentity, peerToPeerSource))
            let (redirect, distance) = below(client, provider, &recorder)
            if redirect != .no { _ = throughHostBridges(client, provider, &recorder) }
            return Verdict(mapType: .notSupported, isSupported: false, distance: distance)
        }
        if hasPeerToPeer == nil { recorder.record(.peerToPeerUnknown(peerToPeerSource)) }
        var decided = decide(client: client, provider: provider, recording: &recorder)
        if decided.isSupported != false, !isPlain {
            for finding in platform.findings(functions[client], decided.mapType) { recorder.record(finding) }
            let isAllowed = platform.allows(decided.mapType, functions[client])
            if isAllowed == false {
                return Verdict(mapType: .notSupported, isSupported: false, distance: decided.distance)
            }
            if isAllowed == nil { decided = decided.withoutAnswer }
        } else if !isPlain, platform.allows(.busAddress, functions[client]) == false {
            // No other place would mend this route.
            for finding in platform.findings(functions[client], .busAddress) where finding.isBlocking {
                recorder.record(finding)
            }
        }
        // What would be refused anyway is refused without the option, too.
        return hasPeerToPeer == nil && decided.isSupported == true ? decided.withoutAnswer : decided
    }

    /// The decision of a kernel that has the option.
    private func decide(client: Int, provider: Int, recording recorder: inout some FindingRecorder) -> Verdict {
        let (redirect, distance) = below(client, provider, &recorder)
        if hasOtherACSRule != false, dependsOnACS(client, provider) {
            recorder.record(.otherACSRule(isThere: hasOtherACSRule == true))
            return Verdict(mapType: .unknown, isSupported: nil, distance: distance)
        }
        if redirect == .no {
            recorder.record(.bypassesIOMMU(functions[client]))
            return Verdict(mapType: .busAddress, isSupported: true, distance: distance)
        }
        let isAllowed = throughHostBridges(client, provider, &recorder)
        if redirect == .unknown {
            // Refused or by bus address; or allowed either way.
            return Verdict(mapType: .unknown, isSupported: isAllowed == true ? true : nil, distance: distance)
        }
        if isAllowed == true { recorder.record(.passesIOMMU(functions[client])) }
        return Verdict(
            mapType: isAllowed.map { $0 ? .throughHostBridge : .notSupported } ?? .unknown,
            isSupported: isAllowed, distance: distance)
    }

    /// The way below the root complex: whether something on it sends requests up, and its length. Ends that do not meet
    /// there have no such way, which is as if all were sent up.
    @inline(__always)
    private func below(
        _ client: Int, _ provider: Int, _ recorder: inout some FindingRecorder
    ) -> (redirect: Node.Redirect, distance: Int) {
        let a = nodes[provider].ancestors
        let b = nodes[client].ancestors
        // Chains that meet are the same from there to the root bus: compare them from that end.
        var common = 0
        while common < a.count, common < b.count, a[a.count - 1 - common] == b[b.count - 1 - common] { common += 1 }
        guard common > 0 else {
            recorder.record(.noCommonUpstream(functions[client].address, functions[provider].address))
            return (.yes, a.count + b.count)
        }
        let (up, over) = (a.count - common, b.count - common)
        recorder.record(client == provider ? .sameFunction(address(at: a[up])) : .commonUpstream(address(at: a[up])))
        var redirect = Node.Redirect.no
        for index in a[...up] { redirect = redirect.joined(step(index, &recorder)) }
        for index in b[..<over] { redirect = redirect.joined(step(index, &recorder)) }
        return (redirect, up + over)
    }

    @inline(__always)
    private func step(_ index: Int32, _ recorder: inout some FindingRecorder) -> Node.Redirect {
        guard index >= 0 else {
            recorder.record(.unlistedBridge(address(at: index)))
            return .unknown
        }
        recorder.record(.redirect(functions[Int(index)]))
        return nodes[Int(index)].redirect
    }

    /// Whether a way below the root complex has access control services with anything switched on, or that cannot be
    /// read.
    private func dependsOnACS(_ client: Int, _ provider: Int) -> Bool {
        let (a, b) = (nodes[provider].ancestors, nodes[client].ancestors)
        guard a.last == b.last else { return false }
        return (a + b).contains { index in
            index < 0 || ![.absent, .control([])].contains(functions[Int(index)].accessControl)
        }
    }

    /// Whether the way through the host bridges is allowed; nil where that cannot be known.
    @inline(__always)
    func throughHostBridges(
        _ client: Int, _ provider: Int, _ recorder: inout some FindingRecorder
    ) -> Bool? {
        if isAnyBridgeAllowed == true {
            recorder.record(cpu.map { .cpuAllows($0) })
            return true
        }
        if isAnyBridgeAllowed == nil { recorder.record(cpu == nil ? .cpuUnknown : .processorRuleUnknown) }
        let (here, there) = (Int(nodes[provider].bridge), Int(nodes[client].bridge))
        let listed: Bool?
        if here == there {
            listed = bridges[here].allowsWithin
            recorder.record(.hostBridge(bridges[here], allows: bridges[here].allowsWithin))
        } else {
            listed = Self.both(bridges[here].allowsAcross, bridges[there].allowsAcross)
            recorder.record(.hostBridge(bridges[here], allows: bridges[here].allowsAcross))
            recorder.record(.hostBridge(bridges[there], allows: bridges[there].allowsAcross))
        }
        if listed == false, mayAllowGuests {
            recorder.record(.hypervisorUnknown)
            return nil
        }
        // Without knowing the processor, a bridge that is not on the list may still be allowed.
        return isAnyBridgeAllowed == nil && listed != true ? nil : listed
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
