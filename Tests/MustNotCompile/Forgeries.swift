// SPDX-License-Identifier: Apache-2.0
//
// Addresses and keys come from a live region, and figures from what has happened.

import PeerMR

func makesAnEntryOfNumbers() {
    _ = ScatterEntry(address: 1, count: 2, key: 3)  // expected-error {{'ScatterEntry' initializer is inaccessible}}
}

func makesAWindowOfNumbers() {
    _ = RegionWindow(address: 0, byteCount: 1, localKey: 1, remoteKey: 1, shape: .any)  // expected-error {{'RegionWindow' initializer is inaccessible}}
}

func changesAWindow(_ window: inout RegionWindow) {
    window.address = 0  // expected-error {{cannot assign to property: 'address' is a 'let' constant}}
}

func makesASliceOfNumbers() {
    _ = MemorySlice(address: 1, byteCount: 2)  // expected-error {{'MemorySlice' initializer is inaccessible}}
}

func takesTheAddressOfAnEntry(_ entry: ScatterEntry) -> UInt64 {
    entry.address  // expected-error {{'address' is inaccessible due to 'internal' protection level}}
}

func postsALocalPointer(_ pair: inout QueuePair, _ bytes: UnsafeMutableRawPointer, _ to: RemoteSlice) throws {
    try pair.postWrite(bytes, to: to, requestID: 1)  // expected-error {{cannot convert value of type 'UnsafeMutableRawPointer' to expected argument type 'ScatterEntry'}}
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
    _ = region.storage  // expected-error {{'storage' is inaccessible due to 'internal' protection level}}
}

func keepsRegionsInAnArray(_ regions: [MemoryRegion<HostMemory>]) {}  // expected-error {{does not conform to protocol 'Copyable'}}

func takesASliceErrorForAnother(_ window: RegionWindow) {
    do { _ = try window.entry(at: 0, count: 1) } catch {
        let _: PeerMRError = error  // expected-error {{cannot convert value of type 'SliceError' to specified type 'PeerMRError'}}
    }
}
