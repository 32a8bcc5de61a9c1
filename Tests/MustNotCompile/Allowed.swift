// SPDX-License-Identifier: Apache-2.0
//
// What must compile: were it refused, the other files here would prove nothing.

import PeerMR

func registersAndPosts(_ pair: inout QueuePair, _ domain: ProtectionDomain, _ peer: RemoteSlice) throws {
    let region = try MemoryRegion(registering: HostMemory(allocating: 4096), on: domain)
    try pair.postWrite(region.window.entry(at: 0, count: 4096), to: peer, requestID: 1)
    giveAway(region)
}

func giveAway(_ region: consuming MemoryRegion<HostMemory>) {}

func keepsAWindow(_ region: borrowing PeerRegion) -> RegionWindow { region.window }

func keepsRegionsApart(_ region: consuming PeerRegion) -> PeerRegion? { region }
