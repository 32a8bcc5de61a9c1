// SPDX-License-Identifier: Apache-2.0

package import PeerMRCore

/// Verdicts from many clients to many providers, in two bytes each: a large machine has millions.
package struct VerdictMatrix: Sendable {
    /// How many clients and providers there are.
    package let rows: Int
    package let columns: Int
    private var packed: [UInt16]

    /// Computes them, a row after the other; a `verdict` for each row and column.
    package init(rows: Int, columns: Int, _ verdict: (_ row: Int, _ column: Int) -> Verdict) {
        self.rows = rows
        self.columns = columns
        packed = []
        packed.reserveCapacity(rows * columns)
        for row in 0..<rows {
            for column in 0..<columns { packed.append(Self.pack(verdict(row, column))) }
        }
    }

    /// The verdict of a row and a column.
    package subscript(row: Int, column: Int) -> Verdict { Self.unpack(packed[row * columns + column]) }

    /// A number that two verdicts have in common where they are the same.
    package func number(_ row: Int, _ column: Int) -> UInt16 { packed[row * columns + column] }

    /// A row.
    package subscript(row: Int) -> [Verdict] { (0..<columns).map { self[row, $0] } }

    /// Each verdict that there is, once, in no order; without those that `isLeftOut`.
    package func distinct(without isLeftOut: (_ row: Int, _ column: Int) -> Bool = { _, _ in false }) -> [Verdict] {
        Array(counts(without: isLeftOut).keys)
    }

    /// How often there is each verdict, without those that `isLeftOut`.
    package func counts(without isLeftOut: (_ row: Int, _ column: Int) -> Bool) -> [Verdict: Int] {
        var counts = [Int](repeating: 0, count: 1 << 16)
        for row in 0..<rows {
            for column in 0..<columns where !isLeftOut(row, column) { counts[Int(number(row, column))] += 1 }
        }
        var found: [Verdict: Int] = [:]
        for (number, count) in counts.enumerated() where count > 0 { found[Self.unpack(UInt16(number))] = count }
        return found
    }

    // MARK: Two bytes

    private static let mapTypes: [MapType] = [.busAddress, .throughHostBridge, .notSupported, .unknown]
    private static let answers: [Bool?] = [nil, false, true]

    private static func pack(_ verdict: Verdict) -> UInt16 {
        let mapType: Int =
            switch verdict.mapType {
            case .busAddress: 0
            case .throughHostBridge: 1
            case .notSupported: 2
            case .unknown: 3
            }
        let answer = verdict.isSupported.map { $0 ? 2 : 1 } ?? 0
        // A path has at most some hundred directories, and a distance is at most that of two.
        let distance = min(max(verdict.distance, -1), 5000) + 1
        return UInt16((distance * 4 + mapType) * 3 + answer)
    }

    private static func unpack(_ number: UInt16) -> Verdict {
        let rest = Int(number) / 3
        return Verdict(mapType: mapTypes[rest % 4], isSupported: answers[Int(number) % 3], distance: rest / 4 - 1)
    }
}

extension Topology {
    /// The verdicts for many clients and providers, as ``verdicts(from:to:)`` gives them, in little memory.
    ///
    /// - Parameter changed: gives a verdict of a client and a provider another form.
    package func verdictMatrix(
        from clients: [PCIAddress], to providers: [PCIAddress],
        _ changed: (_ verdict: Verdict, _ client: Int, _ provider: Int) -> Verdict = { verdict, _, _ in verdict }
    ) -> VerdictMatrix {
        let (rows, columns) = (clients.map(place), providers.map(place))
        return VerdictMatrix(rows: clients.count, columns: providers.count) { row, column in
            guard let client = rows[row], let provider = columns[column] else {
                return changed(route(from: clients[row], to: providers[column]).verdict, row, column)
            }
            var none = NoFindings()
            return changed(walk(client: client, provider: provider, recording: &none), row, column)
        }
    }
}
