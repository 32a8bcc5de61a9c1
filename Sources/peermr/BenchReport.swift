// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PeerMR
import RegistrationBench
import PeerMRCore

// MARK: - For people

extension BenchResult {
    /// Tables, and what was left out.
    var text: String {
        var text = "\(device), \(head)".printable + "\n\n"
        if measured.isEmpty {
            text += "Nothing was measured.\n"
        } else {
            text += "Register, in µs\n" + table(\.timings.register, \.bare.register, \.registerOverhead)
            text += "\nDeregister, in µs\n" + table(\.timings.deregister, \.bare.deregister, \.deregisterOverhead)
            text += populationTable + notes
        }
        if !refused.isEmpty || !absent.isEmpty { text += "\nLeft out\n" + Table.plain(leftOutRows) }
        return text
    }

    /// How it was measured.
    var head: String {
        let seconds = NumberFormat.fixed(Double(nanoseconds) / 1e9, 1)
        var text = "\(NumberFormat.count(rounds, "round")) in \(seconds) s\(wasInterrupted ? ", interrupted" : ""); "
        text += "Linux \(kernel); "
        text += "\(clock.name) over \(clock.source): a step of \(clock.stepNanoseconds) ns, "
        text += "a reading \(clock.costNanoseconds) ns (part of each sample)"
        return text
    }

    private var hasBackground: Bool { plan.registered != [0] }
    private var hasThreads: Bool { plan.threads != [1] }

    private func table(
        _ ours: KeyPath<CellResult, Distribution>, _ bare: KeyPath<CellResult, Distribution>,
        _ overhead: KeyPath<CellResult, Overhead?>
    ) -> String {
        var heading = ["memory", "method", "size", "pages"]
        if hasBackground { heading.append("background") }
        if hasThreads { heading.append("threads") }
        heading += ["samples", "min", "p50", "p99", "p99.9", "max"]
        if plan.baseline { heading += ["bare p50", "overhead", "ratio", ""] }
        var rows: [[String]] = []
        for result in measured {
            let cell = result.cell
            let times = result[keyPath: ours]
            var row = [
                "\(cell.memory)", result.method?.rawValue ?? "?", ByteCount.describe(cell.byteCount),
                result.pagesWord,
            ]
            if hasBackground { row.append(ByteCount.describe(cell.registeredBytes)) }
            if hasThreads { row.append("\(cell.threads)") }
            row.append("\(times.count)")
            row += [times.minimum, times.median, times.percentile(99), times.percentile(99.9), times.maximum]
                .map { NumberFormat.microseconds($0) }
            if plan.baseline {
                row.append(NumberFormat.microseconds(result[keyPath: bare].median))
                if let overhead = result[keyPath: overhead] {
                    row.append(NumberFormat.significant(Double(overhead.nanoseconds) / 1000))
                    row += [NumberFormat.fixed(overhead.ratio, 3), overhead.isWithinBar ? "" : "over the bar"]
                }
            }
            rows.append(row)
        }
        return Table.titled(heading, rows)
    }

    /// What populating comes to, beside registering the same memory cold: medians.
    private var populationTable: String {
        let rows = measured.compactMap { result -> [String]? in
            let times = result.timings
            guard times.total.count > 0 else { return nil }
            let plain = measured.first { $0.cell == result.cell.withoutPopulation }
            let cold = plain?.timings.register
            return [
                "\(result.cell.memory)", ByteCount.describe(result.cell.byteCount), result.pagesWord,
                NumberFormat.microseconds(times.populate.median), NumberFormat.microseconds(times.register.median),
                NumberFormat.microseconds(times.total.median), cold.map { NumberFormat.microseconds($0.median) } ?? "",
                cold.map { NumberFormat.fixed(Double($0.median) / Double(max(1, times.register.median)), 2) } ?? "",
                cold.map { NumberFormat.fixed(Double($0.median) / Double(max(1, times.total.median)), 2) } ?? "",
            ]
        }
        let heading = [
            "memory", "size", "pages", "populate", "register", "both", "cold register", "cold/register", "cold/both",
        ]
        return rows.isEmpty ? "" : "\nPopulate, then register: medians in µs\n" + Table.titled(heading, rows)
    }

    private var notes: String {
        var lines: [String] = []
        if plan.temperatures.contains(.cold) {
            var seen: Set<String> = []
            for result in measured where seen.insert("\(result.cell.memory)").inserted {
                lines.append("Cold \(result.cell.memory): \(result.cell.memory.coldPages).".printable)
            }
        }
        if let chunk = plan.chunkBytes {
            lines.append("Registered in chunks of at most \(ByteCount.describe(chunk)), each a region of its own.")
        }
        if plan.registered.contains(where: { $0 > 0 }) {
            lines.append("The background is host memory, registered in regions of 1 MiB, or in 1024 of them.")
        }
        if plan.baseline {
            let closes = measured.filter { $0.bareClose.count > 0 }
            if let close = closes.first {
                lines.append(
                    "Closing a descriptor of a dma-buf, which is not in these times, took "
                        + "\(NumberFormat.microseconds(close.bareClose.median)) µs at "
                        + "\(ByteCount.describe(close.cell.byteCount)).")
            }
            let over = measured.filter { $0.registerOverhead?.isWithinBar == false }.count
            lines.append(
                "The bar for the overhead is 2 % of the bare median, or 1 µs: \(measured.count - over) of "
                    + "\(measured.count) registrations are within it.")
        }
        let few = measured.filter { $0.timings.register.count < 100 }.count
        if few > 0 {
            lines.append(
                "\(few) rows have fewer than 100 samples: their p99 and p99.9 are not much more than the maximum.")
        }
        return lines.isEmpty ? "" : "\n" + lines.joined(separator: "\n") + "\n"
    }

    /// Neighbouring sizes that are left out for one reason make one row.
    private var leftOutRows: [[String]] {
        var rows: [[String]] = []
        var index = 0
        let refused = refused.sorted { "\($0.cell.memory)" < "\($1.cell.memory)" }
        while index < refused.count {
            let first = refused[index]
            let run = refused[index...].prefix {
                "\($0.cell.memory)" == "\(first.cell.memory)" && $0.refusal?.reason == first.refusal?.reason
            }
            var sizes: [String] = []
            for result in run where sizes.last != ByteCount.describe(result.cell.byteCount) {
                sizes.append(ByteCount.describe(result.cell.byteCount))
            }
            rows.append([
                "\(first.cell.memory)",
                Array(Set(sizes)).count == 1 ? sizes[0] : "\(sizes[0]) … \(sizes[sizes.count - 1])",
                first.refusal.map { "\($0)" } ?? "",
            ])
            index += run.count
        }
        return rows + absent.map { [$0.name, "all", "\($0.reason)"] }
    }
}

extension CellResult {
    /// Cold or warm, and what pages host memory had.
    var pagesWord: String {
        let kind =
            switch pages {
            case .hugeTLB?: ", huge (MAP_HUGETLB)"
            case .transparent?: ", huge (transparent)"
            case .someTransparent?: ", partly huge"
            case .hugeRefused?: ", huge refused"
            case .base?, .notOurs?, nil: ""
            }
        return cell.temperature.rawValue + (cell.isPopulated ? ", populated" : "") + kind
    }
}
