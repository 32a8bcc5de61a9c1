// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore

/// Functions of a machine that are alike: each has the same verdict with any other function as the rest of its place.
///
/// Places that are alike in the same way are in one kind. On a regular machine a few verdicts say all of a large
/// matrix.
struct Places {
    /// Functions that are alike, by address.
    struct Place {
        let number: Int
        let members: [PCIAddress]
        /// The verdict between two of them; nil for a function alone.
        let within: Verdict?
    }

    /// Places that are alike.
    struct Kind {
        var places: [Place]
        /// The verdict between functions of two of its places; nil for a place alone.
        var between: Verdict?
    }

    let kinds: [Kind]
    var places: [Place] { kinds.flatMap(\.places).sorted { $0.number < $1.number } }

    private let verdicts: VerdictMatrix
    private let indices: [PCIAddress: Int]

    /// - Parameters:
    ///   - ends: the functions to sort.
    ///   - verdicts: from each of them to each.
    init(_ ends: [PCIAddress], _ verdicts: VerdictMatrix) {
        let groups = Self.alike(ends.count) { verdicts.number($0, $1) }
        let places = groups.enumerated().map { number, members in
            Place(
                number: number + 1, members: members.map { ends[$0] },
                within: members.count > 1 ? verdicts[members[0], members[1]] : nil)
        }
        let firsts = groups.map { $0[0] }
        let kinds = Self.alike(places.count, where: { places[$0].within == places[$1].within }) {
            verdicts.number(firsts[$0], firsts[$1])
        }
        self.kinds = kinds.map { members in
            Kind(
                places: members.map { places[$0] },
                between: members.count > 1 ? verdicts[firsts[members[0]], firsts[members[1]]] : nil)
        }
        self.verdicts = verdicts
        indices = Dictionary(uniqueKeysWithValues: ends.enumerated().map { ($1, $0) })
    }

    /// The verdict from functions of one kind to those of another one.
    func verdict(from client: Kind, to provider: Kind) -> Verdict {
        guard let from = client.places.first?.members.first.flatMap({ indices[$0] }),
            let to = provider.places.first?.members.first.flatMap({ indices[$0] })
        else { return .unknown }
        return verdicts[from, to]
    }

    /// Sorts numbers into groups in which each two have the same verdicts with all others.
    ///
    /// What machines consist of is told apart early. A tree that was made up may differ late, each function from each:
    /// beyond so many comparisons a function has a group of its own, which is right, too, and longer.
    private static func alike(
        _ count: Int, where isSimilar: (Int, Int) -> Bool = { _, _ in true }, _ verdict: (Int, Int) -> UInt16
    ) -> [[Int]] {
        var comparisons = 0
        func areAlike(_ a: Int, _ b: Int) -> Bool {
            guard isSimilar(a, b), verdict(a, b) == verdict(b, a) else { return false }
            for other in 0..<count where other != a && other != b {
                comparisons += 1
                if verdict(a, other) != verdict(b, other) { return false }
                if verdict(other, a) != verdict(other, b) { return false }
            }
            return true
        }
        var groups: [[Int]] = []
        for number in 0..<count {
            if comparisons < comparisonLimit, let index = groups.firstIndex(where: { areAlike($0[0], number) }) {
                groups[index].append(number)
            } else {
                groups.append([number])
            }
        }
        return groups
    }

    private static let comparisonLimit = 1 << 28
}
