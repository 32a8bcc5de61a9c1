// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

extension PlatformDMA {
    /// Whether nothing here stands against any route.
    var isPlain: Bool {
        isConfidentialGuest == false && bouncesAll == false && !encryptsMemory && xenGuest == nil && !isPower
    }

    /// What the platform makes of a route that the kernel's decision allows, or may allow.
    ///
    /// - Returns: false where it does not work, nil where it may not, true where nothing stands against it.
    func allows(_ mapType: MapType, _ client: PCIFunction) -> Bool? {
        // NVMe asks whether the DMA calls take memory of peers; others go past them with bus addresses.
        let ownCalls: Bool? = mapType == .throughHostBridge || client.driver == "nvme" ? false : nil
        var answers: [Bool?] = []
        if isConfidentialGuest != false { answers.append(isConfidentialGuest == true ? false : nil) }
        // Bus addresses and what an IOMMU translates pass bounce buffers by, as it seems.
        if let bouncesAll {
            if bouncesAll { answers.append(isBounced(mapType, client) ? false : nil) }
        } else {
            answers.append(nil)
        }
        if encryptsMemory, mapType != .busAddress { answers.append(nil) }
        if let xenGuest { answers.append(xenGuest == "PV" ? ownCalls : nil) }
        if isPower { answers.append(ownCalls) }
        return answers.contains(false) ? false : answers.isEmpty ? true : nil
    }

    /// Whether an IOMMU translates a function's addresses; nil where that was not read.
    private func translates(_ function: PCIFunction) -> Bool? {
        switch function.iommu {
        case .none: hasGroups ? nil : false
        case .domain("identity", _): false
        case .domain: function.iommu.translates ? true : nil
        }
    }

    /// Whether what is bounced is certain to be hit.
    private func isBounced(_ mapType: MapType, _ client: PCIFunction) -> Bool {
        mapType == .throughHostBridge && translates(client) == false
    }

    /// What stands against routes, for people.
    func findings(_ client: PCIFunction, _ mapType: MapType) -> [Finding] {
        var found: [Finding] = []
        func add(_ code: Finding.Code, _ isCertain: Bool, _ detail: String, _ remedy: String? = nil) {
            found.append(Finding(code, nil, detail, remedy: remedy, isCertain: isCertain))
        }
        if let isConfidentialGuest {
            if isConfidentialGuest {
                add(
                    .confidentialGuest, true,
                    "this is a confidential guest (\(confidentialSign)), whose devices cannot reach each other's "
                        + "memory: all their DMA goes through bounce buffers",
                    "run it as an ordinary guest, or bounce through host memory")
            }
        } else {
            add(.confidentialGuest, false, "whether this is a confidential guest cannot be told: \(confidentialSign)")
        }
        if bouncesAll == true {
            add(
                .bounceBuffers, isBounced(mapType, client),
                "all DMA that no IOMMU translates goes through bounce buffers (swiotlb=force), and the kernel refuses "
                    + "to map another device's memory so", "boot without swiotlb=force")
        } else if bouncesAll == nil {
            add(
                .bounceBuffers, false,
                "whether all DMA goes through bounce buffers (swiotlb=force) cannot be read from /proc/cmdline")
        }
        if encryptsMemory, mapType != .busAddress {
            add(
                .memoryEncryption, false,
                "the kernel encrypts memory (mem_encrypt=on), and may mark another device's addresses as encrypted, too",
                "boot with mem_encrypt=off")
        }
        let hasOwnCalls = mapType == .throughHostBridge || client.driver == "nvme"
        if let xenGuest {
            let kind = xenGuest.isEmpty ? "" : " (\(xenGuest))"
            add(
                .xen, hasOwnCalls && xenGuest == "PV",
                "this machine runs under Xen\(kind), whose DMA calls do not map another device's memory",
                "run it without Xen")
        }
        if isPower {
            add(
                .platformDMA, hasOwnCalls,
                "on POWER the DMA calls are the platform's own, and do not map another device's memory")
        }
        return found
    }
}

extension Topology {
    /// What stands against routes of this machine besides the routes themselves, as for a NIC without an IOMMU.
    package var platformFindings: [Finding] {
        let nics = functions.filter { $0.driver != "nvme" && !$0.isBridge }
        guard let client = nics.first(where: { !$0.iommu.translates }) ?? nics.first else { return [] }
        return platform.findings(client, .throughHostBridge)
    }
}
