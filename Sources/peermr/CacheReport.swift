// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PeerMR
import RegistrationBench
import PeerMRCore

/// What a run of the cache's bench found, for people and for programs.
struct CacheReport {
    let device: String
    let plan: CachePlan
    let results: [CacheResult]

    // MARK: - For people

    /// A table of times, and one of what the cache did.
    var text: String {
        let measured = results.filter { $0.miss.count > 0 }
        var text = "\(device), \(NumberFormat.count(plan.regions, "region")) of \(ByteCount.describe(plan.regionBytes))"
        text += ", a cache for \(plan.limit ?? plan.regions)\n\n"
        if measured.isEmpty { return text + "Nothing was measured.\n" }
        var heading = ["memory", "method", "register", "deregister", "miss"]
        heading += ["lease", "best", "reader", "best", "by address"]
        if plan.threads > 1 { heading.append("\(plan.threads) threads") }
        heading += ["invalidate", "register/lease"]
        text += "Medians in µs; of lookups in ns\n" + Table.titled(heading, measured.map(timeRow))
        let counts = [
            "memory", "hits", "misses", "waits", "evicted", "leased", "idle", "registering", "saved", "ended by",
        ]
        text += "\nWhat the cache did, while a region was leased\n" + Table.titled(counts, measured.map(countRow))
        if results.contains(where: \.wasInterrupted) { text += "\nIt was interrupted.\n" }
        return text
    }

    private func timeRow(_ result: CacheResult) -> [String] {
        let (lease, reader) = (LookupTimes(result.lease), LookupTimes(result.reader))
        func time(_ value: Double?) -> String { value.map { NumberFormat.fixed($0, 1) } ?? "" }
        var row = ["\(result.memory)", result.method?.rawValue ?? "?"]
        row += [result.register, result.deregister, result.miss].map { NumberFormat.microseconds($0.median) }
        row += [time(lease?.median), time(lease?.best), time(reader?.median), time(reader?.best)]
        row.append(time(LookupTimes(result.leaseByAddress)?.median))
        if plan.threads > 1 { row.append(time(LookupTimes(result.leaseByThreads)?.median)) }
        row.append(result.invalidation.count > 0 ? NumberFormat.microseconds(result.invalidation.median) : "")
        row.append(lease.map { NumberFormat.fixed(Double(result.register.median) / max($0.median, 0.001), 0) } ?? "")
        return row
    }

    private func countRow(_ result: CacheResult) -> [String] {
        let (during, after) = (result.during, result.after)
        let evicted = CacheStatistics.Eviction.allCases.compactMap { cause in
            during.evictions[cause].map { "\($0) for \(cause.rawValue)" }
        }
        let ended = CacheStatistics.Invalidation.allCases.compactMap { cause in
            after.invalidations[cause].map { "\(cause.rawValue) \($0)" }
        }
        return [
            "\(result.memory)", "\(during.hits)", "\(during.misses)", "\(during.waits)",
            evicted.isEmpty ? "0" : evicted.joined(separator: ", "), ByteCount.describe(during.bytesLeased),
            ByteCount.describe(during.bytesIdle), seconds(during.registrationNanoseconds),
            seconds(during.savedNanoseconds), ended.joined(separator: ", "),
        ]
    }

    private func seconds(_ nanoseconds: UInt64) -> String {
        NumberFormat.significant(Double(nanoseconds) / 1e9) + " s"
    }

    // MARK: - For programs

    /// Everything, times in nanoseconds.
    var json: JSONValue {
        .object([
            ("device", .text(device)), ("regionBytes", .count(plan.regionBytes)), ("regions", .count(plan.regions)),
            ("limit", .count(plan.limit ?? plan.regions)), ("lookups", .count(plan.lookups)),
            ("threads", .count(plan.threads)), ("memories", .list(results.map(json))),
        ])
    }

    private func json(_ result: CacheResult) -> JSONValue {
        .object([
            ("memory", .text("\(result.memory)")), ("method", .optional(result.method?.rawValue)),
            ("register", json(result.register)), ("deregister", json(result.deregister)),
            ("miss", json(result.miss)), ("lease", json(LookupTimes(result.lease))),
            ("leaseByThreads", json(LookupTimes(result.leaseByThreads))),
            ("leaseByAddress", json(LookupTimes(result.leaseByAddress))),
            ("reader", json(LookupTimes(result.reader))), ("invalidation", json(result.invalidation)),
            ("statistics", json(result.during)), ("ended", json(result.after)),
            ("interrupted", .flag(result.wasInterrupted)), ("error", result.refusal?.json ?? .null),
        ])
    }

    private func json(_ times: Distribution) -> JSONValue {
        guard times.count > 0 else { return .null }
        return .object([
            ("count", .count(times.count)), ("minimum", .count(times.minimum)), ("p50", .count(times.median)),
            ("p99", .count(times.percentile(99))), ("maximum", .count(times.maximum)),
        ])
    }

    private func json(_ times: LookupTimes?) -> JSONValue {
        guard let times else { return .null }
        return .object([("best", .number(times.best)), ("median", .number(times.median))])
    }

    private func json(_ seen: CacheStatistics) -> JSONValue {
        let evictions = CacheStatistics.Eviction.allCases.map {
            ($0.rawValue, JSONValue.count(seen.evictions[$0] ?? 0))
        }
        let invalidations = CacheStatistics.Invalidation.allCases.map {
            ($0.rawValue, JSONValue.count(seen.invalidations[$0] ?? 0))
        }
        return .object([
            ("hits", .count(seen.hits)), ("misses", .count(seen.misses)), ("waits", .count(seen.waits)),
            ("evictions", .object(evictions)), ("invalidations", .object(invalidations)),
            ("regions", .count(seen.regions)), ("endedRegions", .count(seen.endedRegions)),
            ("bytesLeased", .count(seen.bytesLeased)), ("bytesIdle", .count(seen.bytesIdle)),
            ("registrationNanoseconds", .count(seen.registrationNanoseconds)),
            ("savedNanoseconds", .count(seen.savedNanoseconds)),
        ])
    }
}
