// SPDX-License-Identifier: Apache-2.0
//
// A region owns its memory, and a queue pair has one poster.

import PeerMR

func usesMemoryAfterRegistration(_ memory: consuming HostMemory, _ domain: ProtectionDomain) throws {  // expected-error {{'memory' used after consume}}
    let region = try MemoryRegion(registering: memory, on: domain)
    _ = (region.keys, memory.byteCount)
}

func registersTwice(_ memory: consuming HostMemory, _ domain: ProtectionDomain) throws {  // expected-error {{'memory' consumed more than once}}
    _ = try MemoryRegion(registering: memory, on: domain)
    _ = try MemoryRegion(registering: memory, on: domain)
}

func registersAfterFailure(_ memory: consuming AnyMemory, _ domain: ProtectionDomain) throws {  // expected-error {{'memory' consumed more than once}}
    do {
        _ = try PeerRegion(registering: memory, on: domain, access: [])
    } catch {
        _ = try PeerRegion(registering: memory, on: domain, access: [])
    }
}

func takesTheMemoryOut(_ region: consuming MemoryRegion<HostMemory>) -> HostMemory {
    region.memory  // expected-error {{cannot partially consume 'region' of non-frozen type}}
}

func usesARegionAfterItWasGivenAway(_ region: consuming PeerRegion) {  // expected-error {{'region' used after consume}}
    detach(region)
    _ = region.keys
}

func detach(_ region: consuming PeerRegion) {}

func postsFromTwoPlaces(_ pair: inout QueuePair) {
    both(&pair, &pair)  // expected-error {{inout arguments are not allowed to alias each other}} expected-error {{overlapping accesses to 'pair'}}
}

func both(_ first: inout QueuePair, _ second: inout QueuePair) {}
