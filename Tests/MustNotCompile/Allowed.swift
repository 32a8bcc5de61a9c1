// SPDX-License-Identifier: Apache-2.0
//
// What must compile: were it refused, the other files here would prove nothing.

import PeerMR

func registersAndPosts(_ pair: inout QueuePair, _ domain: ProtectionDomain, _ peer: RemoteAddress) throws {
    let region = try MemoryRegion(registering: HostMemory(allocating: 4096), on: domain)
    try pair.postWrite(region.keys.element(at: 0, count: 4096), to: peer, requestID: 1)
    detach(region)
}

func detach(_ region: consuming MemoryRegion) {}

func keepsKeys(_ region: borrowing PeerRegion) -> RegionKeys { region.keys }

func registersTwice(_ memory: any Memory, _ domain: ProtectionDomain) throws -> UInt64 {
    let first = try PeerRegion(registering: memory, on: domain, access: [])
    let second = try PeerRegion(registering: memory, on: domain, access: [.remoteRead])
    return first.keys.byteCount + second.keys.byteCount + UInt64(memory.byteCount)
}

func keepsRegionsApart(_ region: consuming PeerRegion) -> PeerRegion? { region }
