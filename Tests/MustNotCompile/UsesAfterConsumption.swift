// SPDX-License-Identifier: Apache-2.0
//
// A region has one owner, and a queue pair has one poster.

import PeerMR

func usesARegionAfterItWasGivenAway(_ region: consuming PeerRegion) {  // expected-error {{'region' used after consume}}
    detach(region)
    _ = region.keys
}

func detach(_ region: consuming PeerRegion) {}

func postsFromTwoPlaces(_ pair: inout QueuePair) {
    both(&pair, &pair)  // expected-error {{inout arguments are not allowed to alias each other}} expected-error {{overlapping accesses to 'pair'}}
}

func both(_ first: inout QueuePair, _ second: inout QueuePair) {}
