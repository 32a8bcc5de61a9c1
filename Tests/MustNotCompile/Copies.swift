// SPDX-License-Identifier: Apache-2.0
//
// Leaves have one owner: none of these can be copied, nor used after it was given away.

import PeerMR

func copiesARegion(_ region: consuming MemoryRegion) {  // expected-error {{'region' consumed more than once}}
    let first = region
    let second = region
    _ = (first.keys, second.keys)
}

func copiesAQueuePair(_ pair: consuming QueuePair) {  // expected-error {{'pair' consumed more than once}}
    let first = pair
    let second = pair
    look(first, second)
}

func look(_ first: borrowing QueuePair, _ second: borrowing QueuePair) {}

func copiesAPeerRegion(_ region: consuming PeerRegion) {  // expected-error {{'region' consumed more than once}}
    let first = region
    let second = region
    _ = (first.keys, second.keys)
}

func copiesABatch(_ batch: consuming CompletionBatch) {  // expected-error {{'batch' consumed more than once}}
    let first = batch
    let second = batch
    _ = (first.count, second.count)
}

func copiesADescriptor(_ file: consuming OwnedDescriptor) {  // expected-error {{'file' consumed more than once}}
    let first = file
    let second = file
    _ = (first.rawValue, second.rawValue)
}

func copiesAQueuePairThatIsLent(_ pair: borrowing QueuePair) -> QueuePair {  // expected-error {{'pair' is borrowed and cannot be consumed}}
    pair
}
