// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore

/// A machine as the kernel holds it in memory, with the kernel's decision written down once more: naively, and not as
/// PCITopology does it.
///
/// The steps and their names are those of drivers/pci/p2pdma.c.
struct KernelModel {
    struct Function {
        var address: PCIAddress
        /// The bridge that owns its bus; nil on a root bus. Of a virtual function: not asked.
        var busOwner: Int?
        /// The physical function of a virtual one.
        var physical: Int?
        var host: Int
        var vendor: UInt16
        var device: UInt16
        /// Bits 7 to 4 of the PCI Express capabilities; nil for conventional PCI.
        var portType: UInt8?
        /// The ACS control word; nil where there is no such capability.
        var control: UInt16?
        var isBridge = false
    }

    struct Host {
        var bus: RootBus
        /// The devices of the root bus, in the order in which they were found.
        var devices: [Int] = []
    }

    var functions: [Function] = []
    var hosts: [Host] = []
    var cpuVendor = "GenuineIntel"
    var cpuFamily = 6
    var kernel = (7, 3)

    enum MapType: String { case busAddress, throughHostBridge, notSupported }

    struct Decision: Hashable {
        var mapType: MapType
        var distance: Int
        /// What redirects, as far as that was asked.
        var redirecting: [PCIAddress] = []
    }

    // MARK: drivers/pci/p2pdma.c

    func upstreamBridge(_ function: Int) -> Int? {
        functions[functions[function].physical ?? function].busOwner
    }

    func hasRedirect(_ function: Int) -> Bool {
        guard let control = functions[function].control else { return false }
        return control & 0x04 != 0 || control & 0x08 != 0 || control & 0x20 != 0
    }

    func decide(provider: Int, client: Int) -> Decision {
        var a: Int? = provider
        var distanceA = 0
        var distanceB = 0
        var redirecting: [Int] = []
        while let here = a {
            distanceB = 0
            if hasRedirect(here) { redirecting.append(here) }
            var b: Int? = client
            while let there = b {
                if here == there {
                    return decide(provider, client, meeting: here, distanceA + distanceB, redirecting)
                }
                b = upstreamBridge(there)
                distanceB += 1
            }
            a = upstreamBridge(here)
            distanceA += 1
        }
        return throughHostBridge(provider, client, distanceA + distanceB, [])
    }

    /// A kernel of another rule, which refuses wherever there is any control: the worst that it can be.
    private func refusesByAnotherRule(_ provider: Int, _ client: Int) -> Bool {
        kernel == (9, 10)
            && (chain(provider) + chain(client)).contains { address in
                functions.contains { $0.address == address && ($0.control ?? 0) != 0 }
            }
    }

    private func decide(
        _ provider: Int, _ client: Int, meeting: Int, _ distance: Int, _ found: [Int]
    ) -> Decision {
        var redirecting = found
        var b: Int? = client
        while let there = b, there != meeting {
            if hasRedirect(there) { redirecting.append(there) }
            b = upstreamBridge(there)
        }
        if refusesByAnotherRule(provider, client) { return Decision(mapType: .notSupported, distance: distance) }
        if redirecting.isEmpty { return Decision(mapType: .busAddress, distance: distance) }
        return throughHostBridge(
            provider, client, distance, redirecting.map { functions[$0].address })
    }

    private func throughHostBridge(
        _ provider: Int, _ client: Int, _ distance: Int, _ redirecting: [PCIAddress]
    ) -> Decision {
        let isAllowed = cpuSupports || whitelisted(functions[provider].host, functions[client].host)
        return Decision(
            mapType: isAllowed ? .throughHostBridge : .notSupported, distance: distance,
            redirecting: redirecting)
    }

    var cpuSupports: Bool { kernel >= (5, 9) && cpuVendor == "AuthenticAMD" && cpuFamily >= 23 }

    private func whitelisted(_ a: Int, _ b: Int) -> Bool {
        if a == b { return isListed(a, isSame: true) }
        return isListed(a, isSame: false) && isListed(b, isSame: false)
    }

    private func isListed(_ host: Int, isSame: Bool) -> Bool {
        guard let first = hosts[host].devices.first.map({ functions[$0] }) else { return false }
        let isNumberZero = first.address.device == 0 && first.address.function == 0
        if kernel < (5, 4) { return false }
        if kernel > (9, 0) { return true }
        guard isNumberZero || first.portType == 4 else { return false }
        switch first.vendor {
        case 0x8086:
            if [0x3c00, 0x3c01, 0x2f00, 0x2f01].contains(first.device) { return isSame }
            if [0x2030, 0x2031, 0x2032, 0x2033, 0x2020, 0x09a2].contains(first.device) { return true }
            return kernel >= (7, 2)
                && [
                    0x0b25, 0x0cfe, 0x11fb, 0x1212, 0x1216, 0x4940, 0x4942, 0x4944, 0x4946, 0x4948,
                ].contains(first.device)
        case 0x1ae0: return kernel >= (7, 1)
        case 0x10de: return kernel >= (7, 3) && (0x2f95...0x2f98).contains(first.device)
        default: return false
        }
    }
}

// MARK: - What sysfs shows of it

extension KernelModel {
    /// The function and the bridges above it, as its path names them.
    func chain(_ function: Int) -> [PCIAddress] {
        var chain = [functions[function].address]
        var place = upstreamBridge(function)
        while let bridge = place {
            chain.append(functions[bridge].address)
            place = upstreamBridge(bridge)
        }
        return chain
    }

    func classCode(_ function: Int) -> UInt32 { functions[function].isBridge ? 0x060400 : 0x020000 }

    /// Those that can be at the end of a route.
    var ends: [Int] { functions.indices.filter { !functions[$0].isBridge } }
}
