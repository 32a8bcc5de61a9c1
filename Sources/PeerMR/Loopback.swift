// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import PeerMemory
internal import SystemPackage
internal import PeerMRCore
internal import Verbs

/// A NIC's way into a region and back, with no peer: a queue pair connected to itself, and host memory to move from
/// and to. One transfer at a time, each waited for.
struct Loopback: ~Copyable {
    /// Which way the bytes go.
    enum Direction {
        case intoRegion, outOfRegion
    }

    private var pair: QueuePair
    private var batch: CompletionBatch
    private let queue: CompletionQueue
    private let device: Device
    private let scratch: MemoryRegion
    private let memory: HostMemory
    private var requestID: UInt64 = 0
    /// The longest wait for one transfer.
    private let timeoutMilliseconds: UInt64

    /// - Parameter scratchBytes: the most that one transfer moves.
    init(
        on domain: ProtectionDomain, for constraint: TransferConstraint, scratchBytes: Int, timeoutMilliseconds: UInt64
    ) throws(PeerMRError) {
        do throws(PeerMRError) {
            try self.init(making: (), on: domain, constraint, scratchBytes, timeoutMilliseconds)
        } catch {
            throw PeerMRError.withoutNIC(domain.context.device) ?? error
        }
    }

    private init(
        making: Void, on domain: ProtectionDomain, _ constraint: TransferConstraint, _ scratchBytes: Int,
        _ timeoutMilliseconds: UInt64
    ) throws(PeerMRError) {
        let all: Access = [.localWrite, .remoteWrite, .remoteRead]
        let queue = try CompletionQueue(domain.context, capacity: 4)
        var pair = try QueuePair(
            domain: domain, sendQueue: queue, receiveQueue: queue,
            capacity: QueuePairCapacity(sends: 1, receives: 1))
        try pair.connectLoopback(access: all)
        try pair.check(constraint)
        let memory = try HostMemory(allocating: scratchBytes)
        let scratch = try MemoryRegion(registering: memory, on: domain, access: all)
        self.queue = queue
        device = domain.context.device
        self.timeoutMilliseconds = timeoutMilliseconds
        batch = CompletionBatch(capacity: 4)
        self.pair = pair
        self.scratch = scratch
        self.memory = memory
    }

    /// Moves bytes between the beginning of the scratch memory and a region, as the region's access allows: by its
    /// remote key where a peer may do so, else by its local key.
    ///
    /// - Returns: how it ended.
    /// - Throws: `system` where it cannot be posted, `disconnected` where nothing comes back in time.
    mutating func move(
        _ direction: Direction, _ region: RegionKeys, _ access: Access, offset: Int, count: Int
    ) throws(PeerMRError) -> Completion {
        requestID += 1
        do throws(Errno) {
            try post(direction, region, access, offset, count)
        } catch {
            throw .notPosted(error, device)
        }
        return try wait()
    }

    private mutating func post(
        _ direction: Direction, _ region: RegionKeys, _ access: Access, _ offset: Int, _ count: Int
    ) throws(Errno) {
        let here: ScatterGatherElement
        let there: ScatterGatherElement
        do throws(SliceError) {
            here = try scratch.keys.element(at: 0, count: UInt64(count))
            there = try region.element(at: UInt64(offset), count: UInt64(count))
        } catch {
            throw .invalidArgument
        }
        let own = RemoteAddress(address: scratch.keys.address, key: scratch.keys.remoteKey)
        let others = RemoteAddress(address: region.address + UInt64(offset), key: region.remoteKey)
        switch direction {
        case .intoRegion where access.contains(.remoteWrite):
            try pair.postWrite(here, to: others, requestID: requestID)
        case .intoRegion: try pair.postRead(there, from: own, requestID: requestID)
        case .outOfRegion where access.contains(.remoteRead):
            try pair.postRead(here, from: others, requestID: requestID)
        case .outOfRegion: try pair.postWrite(there, to: own, requestID: requestID)
        }
    }

    private mutating func wait() throws(PeerMRError) -> Completion {
        var rounds = 0
        let deadline = monotonicNanoseconds() + timeoutMilliseconds * 1_000_000
        while true {
            do throws(Errno) {
                if try queue.poll(into: &batch) > 0 { return batch[0] }
            } catch {
                throw .notPolled(error, device)
            }
            guard monotonicNanoseconds() < deadline else { throw .noCompletion(timeoutMilliseconds, device) }
            rounds += 1
            // Most transfers end at once; the rest must not take the CPU from the thread that does the work.
            if rounds > 100 { usleep(rounds < 1000 ? 20 : 500) }
        }
    }

    /// Puts bytes at the beginning of the scratch memory.
    func fill(_ bytes: borrowing [UInt8]) {
        unsafe bytes.withUnsafeBytes { from in
            guard let base = from.baseAddress else { return }
            unsafe memory.baseAddress.copyMemory(
                from: base, byteCount: min(from.count, memory.byteCount))
        }
    }

    /// Bytes from the beginning of the scratch memory.
    func contents(_ count: Int) -> [UInt8] {
        unsafe Array(
            UnsafeRawBufferPointer(start: memory.baseAddress, count: min(count, memory.byteCount)))
    }
}
