// SPDX-License-Identifier: Apache-2.0

/// Names in a sentence: few of them, and those that count up as a range.
package enum NameList {
    /// `a, b and c`; of many, the first ones and how many more there are.
    ///
    /// - Parameter limit: the most parts that are written out.
    package static func text(_ names: [String], limit: Int = 6) -> String {
        let parts = ranges(grouped(names))
        let shown = parts.count > limit ? Array(parts.prefix(max(1, limit - 1))) : parts
        let rest = names.count - shown.reduce(0) { $0 + $1.count }
        let texts = shown.map(\.text) + (rest > 0 ? ["\(rest) more"] : [])
        guard texts.count > 1, let last = texts.last else { return texts.first ?? "" }
        return texts.dropLast().joined(separator: ", ") + " and " + last
    }

    /// Names of one pattern together, in the order of their first ones: ranges are of one pattern.
    private static func grouped(_ names: [String]) -> [String] {
        var patterns: [String] = []
        var alike: [String: [String]] = [:]
        for name in names {
            let pattern = name.contains(":") ? ":" : String(name.filter { !$0.isNumber })
            if alike[pattern] == nil { patterns.append(pattern) }
            alike[pattern, default: []].append(name)
        }
        return patterns.flatMap { alike[$0] ?? [] }
    }

    /// Names in their order, with three or more that count up as one: `mlx5_0 … mlx5_7`.
    static func ranges(_ names: [String]) -> [(text: String, count: Int)] {
        var found: [(text: String, count: Int)] = []
        var index = 0
        while index < names.count {
            let count = lengthOfRange(names[index...])
            if count >= 3 {
                found.append(("\(names[index]) … \(names[index + count - 1])", count))
                index += count
            } else {
                found.append((names[index], 1))
                index += 1
            }
        }
        return found
    }

    /// How many names from the first on count up in one number.
    private static func lengthOfRange(_ names: ArraySlice<String>) -> Int {
        guard let first = names.first, !first.contains(":") else { return min(1, names.count) }
        let start = parts(first)
        var place: Int?
        var count = 1
        for name in names.dropFirst() {
            let next = parts(name)
            guard next.count == start.count else { break }
            let differing = next.indices.filter { next[$0] != start[$0] }
            guard differing.count == 1, place == nil || place == differing[0],
                let from = Int(start[differing[0]]), let to = Int(next[differing[0]]), to == from + count
            else { break }
            place = differing[0]
            count += 1
        }
        return count
    }

    /// `nvme0n1` as `nvme`, `0`, `n`, `1`.
    private static func parts(_ name: String) -> [String] {
        var parts: [String] = []
        var wasDigit: Bool?
        for character in name {
            let isDigit = character.isASCII && character.isNumber
            if isDigit == wasDigit, let last = parts.indices.last {
                parts[last].append(character)
            } else {
                parts.append(String(character))
            }
            wasDigit = isDigit
        }
        return parts
    }
}
