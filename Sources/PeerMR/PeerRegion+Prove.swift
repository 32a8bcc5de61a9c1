// SPDX-License-Identifier: Apache-2.0

internal import PeerMemory
public import PeerMRCore
internal import Verbs

extension PeerRegion {
    /// Moves random bytes through the region from the NIC's side and looks at them on the owner's, and back.
    ///
    /// The beginning and the end of the region are tested; what lay there is put back, on both ways in case they lead
    /// to different memory. Nobody else may use these bytes meanwhile. No peer is needed: the NIC talks to itself, so
    /// its port must be up. Where the owner has no way to the bytes, what the NIC wrote is read back by the NIC, and
    /// the state is ``Proof/State/unknown``.
    ///
    /// - Parameter options: how much, and how long it may take.
    /// - Returns: a proof, for or against. A mismatch is no error.
    /// - Throws: `memoryRevoked` where the memory was taken back, or the NIC does not answer in time;
    ///   `unsafeConfiguration` where the path MTU is one at which a software device corrupts data; what making a queue
    ///   pair and 64 KiB of host memory throws.
    public borrowing func prove(_ options: ProofOptions = ProofOptions()) throws(PeerMRError) -> Proof {
        let start = monotonicNanoseconds()
        let pieces = provable(options.byteCount)
        guard !pieces.isEmpty else { throw .nothingToProve() }
        var loop = try Loopback(
            on: domain, for: keys.constraint, scratchBytes: pieces.map(\.count).max() ?? 0,
            timeoutMilliseconds: UInt64(max(1, options.timeoutMilliseconds)))
        var findings = ProofFindings(owner: owner, caveat: whatIsNotShown)
        for piece in pieces {
            try prove(piece, &loop, &findings)
            if findings.firstDifference != nil { break }
        }
        return findings.proof(nanoseconds: monotonicNanoseconds() - start)
    }

    /// What a proof that bytes arrived leaves open; nil for nothing.
    private var whatIsNotShown: String? {
        guard kind == .dmabuf else { return nil }
        let exporter = exporter ?? "its exporter"
        switch owner {
        case .unknown:
            return "whose memory that is remains open: \(exporter) may have handed out the host's, so that this does "
                + "not show that a device's memory was reached"
        case .host:
            return provider.map { "the memory is the host's, which \(exporter) handed out: \($0) was not reached" }
        case .peer, .nic: return nil
        }
    }

    /// The parts to be tested: where the region begins, and where it ends.
    private borrowing func provable(_ wanted: Int) -> [Range<Int>] {
        let whole = byteCount
        let count = max(1, min(wanted, 16 << 20, whole))
        guard whole > count else { return [0..<whole] }
        // The device may want the address aligned.
        let alignment = Int(clamping: max(keys.constraint.alignment, 8))
        let last = (whole - count) / alignment * alignment
        return [0..<count, last..<whole]
    }

    private borrowing func prove(
        _ piece: Range<Int>, _ loop: inout Loopback, _ findings: inout ProofFindings
    ) throws(PeerMRError) {
        let mayWrite = access.contains(.localWrite) || access.contains(.remoteWrite)
        let nicsOld = try take(piece, &loop)
        let ownersOld = try owners(piece, &findings)
        do throws(PeerMRError) {
            if mayWrite { try proveInto(piece, &loop, &findings) }
            if ownersOld != nil, findings.firstDifference == nil { try proveOutOf(piece, &loop, &findings) }
        } catch {
            // The NIC does not reach it any more; what its owner can put back is put back.
            if let ownersOld { try? unsafe write(ownersOld.span.bytes, at: piece.lowerBound) }
            throw error
        }
        if mayWrite { try put(nicsOld, piece, &loop) }
        if let ownersOld, findings.ownerMayWrite { try unsafe write(ownersOld.span.bytes, at: piece.lowerBound) }
        findings.byteCount += piece.count
    }

    /// What the owner sees; nil where it has no way to look.
    private borrowing func owners(
        _ piece: Range<Int>, _ findings: inout ProofFindings
    ) throws(PeerMRError) -> [UInt8]? {
        do throws(PeerMRError) {
            return try ownersBytes(piece)
        } catch {
            guard error.code == .notSupported else { throw error }
            findings.whyNotSeen = error.reason
            return nil
        }
    }

    /// The NIC writes, the owner looks; where it cannot, the NIC does.
    private borrowing func proveInto(
        _ piece: Range<Int>, _ loop: inout Loopback, _ findings: inout ProofFindings
    ) throws(PeerMRError) {
        let pattern = Self.noise(piece.count)
        try put(pattern, piece, &loop)
        // Read back by the same device, what it wrote must have arrived before: PCIe lets no read pass a write.
        let back = try take(piece, &loop)
        guard findings.whyNotSeen == nil else {
            findings.echoed = findings.echoed && back == pattern
            findings.note(.intoMemory, Self.difference(back, pattern), at: piece.lowerBound, isSeen: false)
            return
        }
        let seen = try ownersBytes(piece)
        findings.note(.intoMemory, Self.difference(seen, pattern), at: piece.lowerBound, isSeen: true)
    }

    /// The owner writes, the NIC reads.
    private borrowing func proveOutOf(
        _ piece: Range<Int>, _ loop: inout Loopback, _ findings: inout ProofFindings
    ) throws(PeerMRError) {
        let pattern = Self.noise(piece.count)
        do throws(PeerMRError) {
            try unsafe write(pattern.span.bytes, at: piece.lowerBound)
        } catch {
            guard error.code == .notSupported || error.code == .notPermitted else { throw error }
            findings.ownerMayWrite = false
            return
        }
        // A load from the same device: the stores before it have arrived when it is answered.
        _ = try ownersBytes(piece.upperBound - 1..<piece.upperBound)
        let seen = try take(piece, &loop)
        findings.note(.outOfMemory, Self.difference(seen, pattern), at: piece.lowerBound, isSeen: true)
    }

    private borrowing func ownersBytes(_ piece: Range<Int>) throws(PeerMRError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: piece.count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        try read(into: &raw, at: piece.lowerBound)
        return bytes
    }

    private borrowing func put(
        _ bytes: [UInt8], _ piece: Range<Int>, _ loop: inout Loopback
    ) throws(PeerMRError) {
        loop.fill(bytes)
        try validate(loop.move(.intoRegion, keys, access, offset: piece.lowerBound, count: piece.count))
    }

    private borrowing func take(_ piece: Range<Int>, _ loop: inout Loopback) throws(PeerMRError) -> [UInt8] {
        // What was there before must not look as if it had been read.
        loop.fill(Self.noise(piece.count))
        try validate(loop.move(.outOfRegion, keys, access, offset: piece.lowerBound, count: piece.count))
        return loop.contents(piece.count)
    }

    private static func noise(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, made in
            var word: UInt64 = 0
            for index in 0..<count {
                if index % 8 == 0 { word = generator.next() }
                unsafe buffer[index] = UInt8(truncatingIfNeeded: word >> UInt64(index % 8 * 8))
            }
            made = count
        }
    }

    private static func difference(_ seen: [UInt8], _ expected: [UInt8]) -> Int? {
        zip(seen, expected).enumerated().first { $1.0 != $1.1 }?.offset
    }
}

extension PeerRegion {
    /// Touches the region from the NIC's side, with one read of its beginning: whether its memory is still there.
    ///
    /// Cheap enough for every few seconds, not for every request: a queue pair is made for it. The data path learns the
    /// same from its completions; see ``explain(_:)``.
    ///
    /// - Parameter timeoutMilliseconds: the longest wait.
    /// - Throws: `memoryRevoked` where the exporter has taken the memory back, or the NIC does not answer.
    public borrowing func check(timeoutMilliseconds: Int = 1000) throws(PeerMRError) {
        if let loss = loss() { throw loss }
        let count = min(byteCount, Int(clamping: keys.constraint.alignment))
        var loop = try Loopback(
            on: domain, for: keys.constraint, scratchBytes: count,
            timeoutMilliseconds: UInt64(max(1, timeoutMilliseconds)))
        try validate(loop.move(.outOfRegion, keys, access, offset: 0, count: count))
    }

    private borrowing func validate(_ completion: Completion) throws(PeerMRError) {
        if let error = explain(completion, isAlone: true) { throw error }
    }
}

/// What a proof has found so far.
private struct ProofFindings {
    enum Which {
        case intoMemory, outOfMemory
    }

    let owner: MemoryOwner
    /// What a proof would leave open; nil for nothing.
    let caveat: String?
    var byteCount = 0
    var firstDifference: Int?
    var intoMemory = Proof.Way.notTested
    var outOfMemory = Proof.Way.notTested
    /// Why the owner cannot look; nil where it can.
    var whyNotSeen: String?
    /// Whether the NIC has always got back what it wrote, where only it could look.
    var echoed = true
    var ownerMayWrite = true

    mutating func note(_ which: Which, _ difference: Int?, at start: Int, isSeen: Bool) {
        if let difference { firstDifference = firstDifference ?? start + difference }
        guard isSeen || difference != nil else { return }
        let way: Proof.Way = difference == nil ? .proven : .disproven
        switch which {
        case .intoMemory: intoMemory = way
        case .outOfMemory: outOfMemory = way
        }
    }

    func proof(nanoseconds: UInt64) -> Proof {
        let state: Proof.State
        let reason: String
        let tested = ByteCount.describe(byteCount)
        if let firstDifference {
            state = .disproven
            reason =
                intoMemory == .disproven
                ? "what the NIC wrote did not arrive: the first wrong byte is at \(firstDifference)"
                : "the NIC did not read what was written: the first wrong byte is at \(firstDifference)"
        } else if let whyNotSeen {
            state = .unknown
            reason =
                "the NIC wrote \(tested) and read them back, but nobody could look from the memory's side: "
                + "\(whyNotSeen)"
        } else {
            let ways = [
                intoMemory == .proven ? "written by the NIC and seen in the memory" : nil,
                outOfMemory == .proven ? "written to the memory and read by the NIC" : nil,
            ].compactMap { $0 }
            state = ways.isEmpty ? .registered : .proven
            reason =
                ways.isEmpty
                ? "the access allows nothing that could prove it"
                : "\(tested) of random bytes were " + ways.joined(separator: ", and others ")
        }
        let remark = state == .proven ? caveat.map { "; \($0)" } ?? "" : ""
        return Proof(
            state: state, intoMemory: intoMemory, outOfMemory: outOfMemory, owner: owner,
            firstDifference: firstDifference, byteCount: byteCount, nanoseconds: nanoseconds, reason: reason + remark)
    }
}
