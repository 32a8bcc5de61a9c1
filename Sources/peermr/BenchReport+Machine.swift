// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PeerMR
import RegistrationBench
import PeerMRCore

// MARK: - For programs

extension BenchResult {
    /// Everything, times in nanoseconds.
    var json: JSONValue {
        .object([
            ("device", .text(device)), ("kernel", .text(kernel)),
            (
                "clock",
                .object([
                    ("name", .text(clock.name)), ("source", .text(clock.source)),
                    ("resolutionNanoseconds", .count(clock.resolutionNanoseconds)),
                    ("stepNanoseconds", .count(clock.stepNanoseconds)),
                    ("costNanoseconds", .count(clock.costNanoseconds)),
                ])
            ),
            ("baseline", .flag(plan.baseline)), ("rounds", .count(rounds)),
            ("seconds", .number(Double(nanoseconds) / 1e9)), ("interrupted", .flag(wasInterrupted)),
            ("cells", .list(measured.map(\.json))),
            (
                "leftOut",
                .list(
                    refused.map(\.leftOut)
                        + absent.map { name, reason in
                            .object([
                                ("memory", .text(name)), ("byteCount", .null), ("error", reason.json),
                            ])
                        })
            ),
        ])
    }

    /// A row for each cell, side and call.
    var csv: String {
        let place = [
            "device", "memory", "method", "bytes", "temperature", "pages", "registered_bytes", "threads", "side",
            "call",
        ]
        return CSV.line(place + Distribution.csvHeading + ["huge_pages", "populated", "chunk_bytes"])
            + rows.map { CSV.line($0.place + $0.times.csvFields + $0.more) }.joined()
    }

    /// The percentile distribution of each of those rows.
    var hgrm: String { rows.map { $0.times.hgrm($0.place.joined(separator: ", ")) }.joined() }

    private var rows: [(place: [String], times: Distribution, more: [String])] {
        measured.flatMap { result in
            let cell = result.cell
            let place = [
                device, "\(cell.memory)", result.method?.rawValue ?? "", "\(cell.byteCount)", cell.temperature.rawValue,
                result.pages?.rawValue ?? "", "\(cell.registeredBytes)", "\(cell.threads)",
            ]
            let all: [(String, String, Distribution)] = [
                ("peermr", "register", result.timings.register), ("peermr", "deregister", result.timings.deregister),
                ("peermr", "populate", result.timings.populate), ("peermr", "total", result.timings.total),
                ("bare", "register", result.bare.register), ("bare", "deregister", result.bare.deregister),
                ("bare", "close", result.bareClose),
            ]
            let more = ["\(cell.isHuge)", "\(cell.isPopulated)", cell.chunkBytes.map { "\($0)" } ?? ""]
            return all.filter { $0.2.count > 0 }.map { side, call, times in (place + [side, call], times, more) }
        }
    }
}

extension CellResult {
    fileprivate var place: [(String, JSONValue)] {
        [
            ("memory", .text("\(cell.memory)")), ("byteCount", .count(cell.byteCount)),
            ("temperature", .text(cell.temperature.rawValue)), ("hugePages", .flag(cell.isHuge)),
            ("registeredBytes", .count(cell.registeredBytes)), ("threads", .count(cell.threads)),
            ("populated", .flag(cell.isPopulated)), ("chunkBytes", cell.chunkBytes.map { .count($0) } ?? .null),
        ]
    }

    fileprivate var json: JSONValue {
        var fields = place
        fields += [
            ("method", .optional(method?.rawValue)), ("pages", .optional(pages?.rawValue)),
            ("samples", .count(timings.register.count)), ("register", timings.register.json),
            ("deregister", timings.deregister.json),
        ]
        if timings.total.count > 0 {
            fields += [("populate", timings.populate.json), ("total", timings.total.json)]
        }
        if bare.register.count > 0 {
            var both: [(String, JSONValue)] = [("register", bare.register.json), ("deregister", bare.deregister.json)]
            if bareClose.count > 0 { both.append(("close", bareClose.json)) }
            fields.append(("bare", .object(both)))
            fields.append(
                (
                    "overhead",
                    .object([
                        ("register", registerOverhead?.json ?? .null),
                        ("deregister", deregisterOverhead?.json ?? .null),
                    ])
                ))
        }
        return .object(fields)
    }

    fileprivate var leftOut: JSONValue {
        .object(place + [("samples", .count(timings.register.count)), ("error", refusal?.json ?? .null)])
    }
}

extension Distribution {
    fileprivate var json: JSONValue {
        .object([
            ("minimum", .count(minimum)), ("p50", .count(median)), ("p99", .count(percentile(99))),
            ("p999", .count(percentile(99.9))), ("maximum", .count(maximum)),
        ])
    }
}

extension Overhead {
    fileprivate var json: JSONValue {
        .object([
            ("nanoseconds", .integer(nanoseconds)), ("ratio", .number(ratio)), ("withinBar", .flag(isWithinBar)),
        ])
    }
}
