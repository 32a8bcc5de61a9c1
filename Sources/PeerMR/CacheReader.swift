// SPDX-License-Identifier: Apache-2.0

internal import Synchronization
public import PeerMRCore
public import Verbs

/// One thread's own way into a cache: it finds regions and writes nothing that other threads see, nor waits for them.
///
/// What it has found stays registered until ``advance()``, also where it is evicted or ended meanwhile. Call that
/// where no request that uses keys found before is outstanding, and often: until then nothing that has ended is
/// deregistered.
@safe
public struct CacheReader: ~Copyable {
    private let store: CacheStore
    private let mark: UnsafeMutablePointer<CacheReaderMark>
    private let number: Int
    private let memory: ReaderMemory
    private var epoch: UInt64
    private var hits: UInt64 = 0

    init(_ store: CacheStore) throws(PeerMRError) {
        let made = unsafe try store.addReader()
        self.store = store
        memory = ReaderMemory()
        unsafe (number, mark, epoch) = unsafe (made.number, made.mark, made.epoch)
    }

    deinit { store.removeReader(number, hits) }

    /// The keys of a range, where a region of the cache has it.
    ///
    /// - Returns: nil where there is none, or the range is empty or not inside the memory:
    ///   ``RegistrationCache/lease(_:at:count:)-(_,Int,_)`` registers it, or says what is wrong.
    public mutating func keys(_ request: RegionRequest, at offset: Int, count: Int) -> RegionKeys? {
        find(request, offset, count)
    }

    /// The same, of a request in an object.
    package mutating func keys(_ bound: BoundRequest, at offset: Int, count: Int) -> RegionKeys? {
        find(bound.request, offset, count)
    }

    @inline(__always)
    private mutating func find(_ request: RegionRequest, _ offset: Int, _ count: Int) -> RegionKeys? {
        let start = request.offset &+ UInt64(truncatingIfNeeded: offset)
        let length = UInt64(truncatingIfNeeded: count)
        guard request.has(offset, count) else { return nil }
        let now = unsafe store.index.root.pointee.epoch.load(ordering: .acquiring)
        let place = memory.place(request.number, start)
        // No region has ended since it was found: it is still there.
        if let hit = memory.hit(at: place, request.number, start, length, now) {
            hits &+= 1
            return hit
        }
        guard let hit = store.index.find(request.key, start, length) else { return nil }
        hits &+= 1
        let keys = hit.regionKeys(length)
        memory.remember(keys, at: place, request.number, start, now)
        return keys
    }

    /// Lets go of everything that was found before.
    public mutating func advance() {
        let now = unsafe store.index.root.pointee.epoch.load(ordering: .acquiring)
        guard now != epoch else { return }
        epoch = now
        unsafe mark.pointee.epoch.store(now, ordering: .sequentiallyConsistent)
        store.readerAdvanced()
    }
}

extension RegistrationCache {
    /// A way into the cache for one thread. The regions of a reader's memory live at least as long as it looks.
    ///
    /// - Throws: `resourceLimit` (ENOMEM) without memory, `notSupported` in a child process.
    public func reader() throws(PeerMRError) -> CacheReader { try CacheReader(store) }
}

extension CacheStore {
    @unsafe fileprivate func addReader() throws(PeerMRError) -> CacheReaderPlace {
        let made = unsafe try withState { state -> (CacheReaderPlace?, CacheState.Ended) in
            let epoch = unsafe self.index.root.pointee.epoch.load(ordering: .sequentiallyConsistent)
            guard let (number, mark) = unsafe state.readers.add(at: epoch) else { return (nil, []) }
            return unsafe (CacheReaderPlace(number: number, mark: mark, epoch: epoch), [])
        }
        guard let made = unsafe made else { throw .cacheMemory() }
        return unsafe made
    }

    fileprivate func removeReader(_ number: Int, _ hits: UInt64) {
        _ = try? withState { state -> (Void, CacheState.Ended) in
            state.readers.remove(number)
            state.statistics.hits += hits
            return ((), state.drain(self.index))
        }
    }

    fileprivate func readerAdvanced() {
        _ = try? withState { state -> (Void, CacheState.Ended) in ((), state.drain(self.index)) }
    }
}

@unsafe
private struct CacheReaderPlace: @unchecked Sendable {
    let number: Int
    let mark: UnsafeMutablePointer<CacheReaderMark>
    let epoch: UInt64
}
