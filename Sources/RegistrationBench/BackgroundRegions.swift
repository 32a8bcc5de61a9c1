// SPDX-License-Identifier: Apache-2.0

internal import PeerMR
internal import PeerMemory
internal import PeerMRCore
internal import Verbs

/// Host memory that is registered and does nothing else: the background of those that are measured.
final class BackgroundRegions {
    private final class Held {
        let region: PeerRegion
        init(_ region: consuming PeerRegion) { self.region = region }
    }

    private let pages: HostPages
    private var held: [Held] = []

    /// Many regions, as programs have them: of 1 MiB, or so large that there are 1024.
    static func pieceBytes(of byteCount: UInt64) -> UInt64 {
        let page = UInt64(pageBytes)
        let share = (byteCount / 1024 + page - 1) / page * page
        return min(max(1 << 20, share), byteCount)
    }

    /// Maps and touches memory; nothing is registered yet.
    ///
    /// - Parameter stop: asked now and then; true leaves the rest of the memory untouched.
    init(_ byteCount: UInt64, until stop: () -> Bool) throws(PeerMRError) {
        guard let count = Int(exactly: byteCount) else { throw .hugeRequest(byteCount) }
        pages = try HostPages(count, huge: false)
        pages.touch(until: stop)
    }

    /// Registers all of it.
    ///
    /// - Parameter stop: asked before each region; true leaves it at those that there are.
    /// - Throws: as registration does; what was registered until then is not any more.
    func register(on domain: ProtectionDomain, until stop: () -> Bool) throws(PeerMRError) {
        let piece = Int(Self.pieceBytes(of: UInt64(pages.byteCount)))
        var offset = 0
        while offset < pages.byteCount, !stop() {
            let count = min(piece, pages.byteCount - offset)
            do throws(PeerMRError) {
                let memory = HostPagesPart(of: pages, at: offset, byteCount: count)
                held.append(Held(try PeerRegion(registering: memory, on: domain, access: [.localWrite])))
            } catch {
                deregister()
                throw error
            }
            offset += count
        }
    }

    /// Deregisters all of it.
    func deregister() { held = [] }
}
