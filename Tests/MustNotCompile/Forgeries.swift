// SPDX-License-Identifier: Apache-2.0
//
// Addresses and keys come from a live region, and figures from what has happened.

import PeerMR

func makesAnEntryOfNumbers() {
    _ = ScatterGatherElement(address: 1, count: 2, key: 3)  // expected-error {{'ScatterGatherElement' initializer is inaccessible}}
}

func makesKeysOfNumbers() {
    _ = RegionKeys(address: 0, byteCount: 1, localKey: 1, remoteKey: 1, constraint: .any)  // expected-error {{'RegionKeys' initializer is inaccessible}}
}

func changesKeys(_ keys: inout RegionKeys) {
    keys.address = 0  // expected-error {{cannot assign to property: 'address' is a 'let' constant}}
}

func makesASliceOfNumbers() {
    _ = IOVector(address: 1, byteCount: 2)  // expected-error {{'IOVector' initializer is inaccessible}}
}

func takesTheAddressOfAnEntry(_ entry: ScatterGatherElement) -> UInt64 {
    entry.address  // expected-error {{'address' is inaccessible due to 'internal' protection level}}
}

func postsALocalPointer(_ pair: inout QueuePair, _ bytes: UnsafeMutableRawPointer, _ to: RemoteAddress) throws {
    try pair.postWrite(bytes, to: to, requestID: 1)  // expected-error {{cannot convert value of type 'UnsafeMutableRawPointer' to expected argument type 'ScatterGatherElement'}}
}

func postsThroughWhatIsLent(_ pair: borrowing QueuePair) throws {
    try pair.postReceive(requestID: 1)  // expected-error {{cannot use mutating member on immutable value: 'pair' is a 'let' constant}}
}

func countsBouncedBytesAway(_ count: inout TransferCount) {
    count.bounced = 0  // expected-error {{cannot assign to property: 'bounced' setter is inaccessible}}
}

func inventsCompletions(_ batch: inout CompletionBatch) {
    batch.count = 7  // expected-error {{cannot assign to property: 'count' setter is inaccessible}}
}

func reachesForTheCObject(_ context: Context) {
    _ = context.raw  // expected-error {{'raw' is inaccessible due to 'internal' protection level}}
}

func reachesPastThePeerRegion(_ region: borrowing PeerRegion) {
    _ = region.region  // expected-error {{'region' is inaccessible due to 'internal' protection level}}
}

func keepsRegionsInAnArray(_ regions: [MemoryRegion]) {}  // expected-error {{does not conform to protocol 'Copyable'}}

func takesASliceErrorForAnother(_ keys: RegionKeys) {
    do { _ = try keys.element(at: 0, count: 1) } catch {
        let _: PeerMRError = error  // expected-error {{cannot convert value of type 'SliceError' to specified type 'PeerMRError'}}
    }
}
