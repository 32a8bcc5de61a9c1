// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// Verdicts by client and provider: a table with open addressing, because a dictionary's hashing alone takes as long
/// as a lookup may.
struct VerdictTable {
    private struct Slot {
        let client: UInt64
        let provider: UInt64
        var verdict: Verdict
    }

    /// A power of two of them, at most half of them in use.
    private var slots = [Slot?](repeating: nil, count: 64)
    private var count = 0

    /// The verdict of a pair; nil where there is none. Verdicts are never taken out.
    subscript(client: PCIAddress, provider: PCIAddress) -> Verdict? {
        get { slots[place(client.packed, provider.packed)]?.verdict }
        set {
            guard let newValue else { return }
            let slot = Slot(client: client.packed, provider: provider.packed, verdict: newValue)
            let place = place(slot.client, slot.provider)
            if slots[place] == nil { count += 1 }
            slots[place] = slot
            if count * 2 > slots.count { grow() }
        }
    }

    /// Where a pair is, or would be.
    private func place(_ client: UInt64, _ provider: UInt64) -> Int {
        let mixed = (client &* 0x9e37_79b9_7f4a_7c15 ^ provider) &* 0xd6e8_feb8_6659_fd93
        var place = Int(truncatingIfNeeded: mixed >> 32) & (slots.count - 1)
        while let slot = slots[place], slot.client != client || slot.provider != provider {
            place = (place + 1) & (slots.count - 1)
        }
        return place
    }

    private mutating func grow() {
        let old = slots
        slots = [Slot?](repeating: nil, count: old.count * 2)
        for case let slot? in old { slots[place(slot.client, slot.provider)] = slot }
    }
}

extension PCIAddress {
    /// All of it in one number.
    fileprivate var packed: UInt64 {
        UInt64(domain) << 16 | UInt64(bus) << 8 | UInt64(device) << 3 | UInt64(function)
    }
}
