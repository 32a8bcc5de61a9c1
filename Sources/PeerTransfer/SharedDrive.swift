// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage
import SystemPackage

/// One drive and its one queue for many clients.
///
/// What a client wants done waits in a lane of its own. Lanes take turns, each with as many bytes (deficit round robin,
/// Shreedhar and Varghese 1995), and only so much is at the drive at once that a lane's turn comes soon: what a client
/// gets does not depend on how large its chunks are, nor on how many of them others have under way.
/// Nothing here allocates after `init`.
@safe
final class SharedDrive {
    enum Operation: UInt8 { case read, write, flush }

    /// What a lane wants done.
    private struct Request {
        var slice = IOVector(address: 0, byteCount: 0)
        var offset: UInt64 = 0
        var tag: UInt64 = 0
        var operation = Operation.flush
    }

    /// A first-in queue of requests, in places of its own among ``requests``.
    private struct Lane {
        var first = 0
        var count = 0
        var inFlight = 0
        /// Bytes that it may still start in this turn.
        var credit = 0
        var isInLine = false
    }

    /// An operation at the drive: its place is the tag that the drive sees.
    private struct Started {
        var lane = 0
        var tag: UInt64 = 0
        var byteCount = 0
    }

    let drive: any Drive
    private let laneCount: Int
    private let laneRoom: Int
    /// What a lane may start in its turn, and how much may be at the drive, in bytes.
    private let quantum: Int
    private let window: Int
    private let depth: Int
    private let lanes: UnsafeMutablePointer<Lane>
    private let requests: UnsafeMutablePointer<Request>
    private let started: UnsafeMutablePointer<Started>
    private let free: UnsafeMutablePointer<Int>
    private var freeCount: Int
    private var bytesInFlight = 0
    /// The lanes that have something, in the order of their turns.
    private let turns: UnsafeMutablePointer<Int>
    private var firstTurn = 0
    private var turnCount = 0
    private var isInTurn = false

    /// - Parameters:
    ///   - lanes: how many clients there are at most.
    ///   - slotCount: how many chunks a client has under way at most.
    ///   - slotBytes: the most bytes of a chunk.
    init(_ drive: any Drive, lanes laneCount: Int, slotCount: Int, slotBytes: Int) {
        self.drive = drive
        self.laneCount = laneCount
        // Besides its chunks a client has the read of a last block, and a flush.
        laneRoom = slotCount + 2
        quantum = slotBytes
        // Twice what one client has: alone it is never held back.
        window = 2 * slotCount * slotBytes
        depth = drive.depth
        freeCount = depth
        unsafe lanes = .allocate(capacity: laneCount)
        unsafe lanes.initialize(repeating: Lane(), count: laneCount)
        unsafe requests = .allocate(capacity: laneCount * laneRoom)
        unsafe requests.initialize(repeating: Request(), count: laneCount * laneRoom)
        unsafe started = .allocate(capacity: depth)
        unsafe started.initialize(repeating: Started(), count: depth)
        unsafe free = .allocate(capacity: depth)
        for place in 0..<depth { unsafe (free + place).initialize(to: depth - 1 - place) }
        unsafe turns = .allocate(capacity: laneCount)
        unsafe turns.initialize(repeating: 0, count: laneCount)
    }

    deinit {
        unsafe lanes.deallocate()
        unsafe requests.deallocate()
        unsafe started.deallocate()
        unsafe free.deallocate()
        unsafe turns.deallocate()
    }

    /// Operations of a lane that the drive has.
    func inFlight(_ lane: Int) -> Int { unsafe lanes[lane].inFlight }

    /// The same, and those that wait for the lane's turn.
    func outstanding(_ lane: Int) -> Int { unsafe lanes[lane].inFlight + lanes[lane].count }

    /// Puts an operation behind what its lane wants already; ``start(_:)`` lets it have its turn.
    ///
    /// - Throws: EBUSY where the lane has more under way than a client can have.
    func add(
        _ operation: Operation, _ slice: IOVector, at offset: UInt64, tag: UInt64, lane: Int
    ) throws(Errno) {
        let count = unsafe lanes[lane].count
        guard count < laneRoom else { throw .resourceBusy }
        var place = unsafe lanes[lane].first + count
        if place >= laneRoom { place -= laneRoom }
        unsafe requests[lane * laneRoom + place] = Request(slice: slice, offset: offset, tag: tag, operation: operation)
        unsafe lanes[lane].count = count + 1
        if count == 0 { append(lane) }
    }

    func flush(tag: UInt64, lane: Int) throws(Errno) {
        try add(.flush, IOVector(address: 0, byteCount: 0), at: 0, tag: tag, lane: lane)
    }

    /// Forgets what a lane wanted and the drive has not been told.
    func drop(_ lane: Int) {
        guard unsafe lanes[lane].count > 0 else { return }
        unsafe lanes[lane].count = 0
        unsafe lanes[lane].credit = 0
        // Its place among the turns is found empty when the turn comes.
    }

    private func append(_ lane: Int) {
        // One that was emptied by `drop` may still stand there.
        guard unsafe !lanes[lane].isInLine else { return }
        unsafe lanes[lane].isInLine = true
        unsafe turns[wrapped(firstTurn + turnCount)] = lane
        turnCount += 1
    }

    private func wrapped(_ place: Int) -> Int { place >= laneCount ? place - laneCount : place }

    private func endTurn(staysInLine: Bool) {
        let lane = unsafe turns[firstTurn]
        firstTurn = wrapped(firstTurn + 1)
        turnCount -= 1
        isInTurn = false
        unsafe lanes[lane].isInLine = staysInLine
        guard staysInLine else { return }
        unsafe turns[wrapped(firstTurn + turnCount)] = lane
        turnCount += 1
    }
}

// MARK: - Turns

extension SharedDrive {
    /// Hands the drive what there is room for, and tells it to begin.
    ///
    /// - Parameter refused: is told of what the drive has not taken: the lane, and the operation's end.
    /// - Throws: the errno of the drive; what it has taken it still has.
    func start(_ refused: (Int, StorageCompletion) -> Void) throws(Errno) {
        while turnCount > 0, freeCount > 0, bytesInFlight < window {
            let lane = unsafe turns[firstTurn]
            guard unsafe lanes[lane].count > 0 else {
                unsafe lanes[lane].credit = 0
                endTurn(staysInLine: false)
                continue
            }
            if !isInTurn {
                isInTurn = true
                unsafe lanes[lane].credit += quantum
            }
            let request = unsafe requests[lane * laneRoom + lanes[lane].first]
            guard unsafe request.slice.byteCount <= lanes[lane].credit else {
                endTurn(staysInLine: true)
                continue
            }
            unsafe lanes[lane].credit -= request.slice.byteCount
            unsafe lanes[lane].first = lanes[lane].first + 1 == laneRoom ? 0 : lanes[lane].first + 1
            unsafe lanes[lane].count -= 1
            if unsafe lanes[lane].count == 0 {
                unsafe lanes[lane].credit = 0
                endTurn(staysInLine: false)
            }
            do throws(Errno) { try start(request, lane) } catch {
                refused(lane, StorageCompletion(tag: request.tag, result: -error.rawValue))
            }
        }
        try drive.submit()
    }

    private func start(_ request: Request, _ lane: Int) throws(Errno) {
        let place = unsafe free[freeCount - 1]
        let tag = UInt64(place)
        switch request.operation {
        case .read: try drive.read(request.slice, at: request.offset, tag: tag)
        case .write: try drive.write(request.slice, at: request.offset, tag: tag)
        case .flush: try drive.flush(tag: tag)
        }
        freeCount -= 1
        unsafe started[place] = Started(lane: lane, tag: request.tag, byteCount: request.slice.byteCount)
        bytesInFlight += request.slice.byteCount
        unsafe lanes[lane].inFlight += 1
    }

    /// Takes one completion, and whose it is; never waits.
    func next() -> (lane: Int, completion: StorageCompletion)? {
        while let completion = drive.next() {
            guard completion.tag < UInt64(depth) else { continue }
            let place = Int(completion.tag)
            let operation = unsafe started[place]
            unsafe free[freeCount] = place
            freeCount += 1
            bytesInFlight -= operation.byteCount
            unsafe lanes[operation.lane].inFlight -= 1
            return (operation.lane, StorageCompletion(tag: operation.tag, result: completion.result))
        }
        return nil
    }
}
