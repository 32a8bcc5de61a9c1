// SPDX-License-Identifier: Apache-2.0

public import PeerMR
import PeerStorage

/// Tries of 4.096 µs times 2 to the power of 18, about a second: a lost peer is found in some ten seconds, and a
/// virtual machine that its host lets wait for a while is not.
let acknowledgeExponent: UInt8 = 18

/// As many clients may be served at once, and as many wait.
public let clientLimit = 1024

extension DriveServer {
    /// What a server offers, and to whom.
    public struct Options: Sendable {
        /// What the slots are made of.
        public var memory: MemoryRequest
        /// What to do where peer memory cannot be allocated or registered.
        public var fallback: Fallback
        /// The size of a slot, in bytes: whole pages, and whole blocks of the drive.
        public var slotBytes: UInt32
        /// How many slots a client gets: how many of its chunks are in flight.
        public var slotCount: UInt16
        /// How many clients are served at once; nil for up to 64, as far as half of the free peer memory goes, or 256
        /// MiB of the host's, and at least one.
        public var clientCount: Int?
        /// How many more may wait for their turn.
        public var queueLimit: Int
        /// Whether arrivals are made sure of even where no device needs it.
        public var alwaysFlush: Bool
        /// How long a client may leave undone what it is waited for, in seconds. The drive's time does not count.
        public var timeoutSeconds: Int
        /// The least that a client must move while it is waited for, in bytes a second over ``timeoutSeconds``; 0 for
        /// any.
        public var minimumRate: UInt64
        /// How long the drive may finish nothing, in seconds. NVMe has 30 s for a command, and resets the drive and
        /// tries again after that (nvme_core.io_timeout and nvme_core.max_retries).
        public var driveTimeoutSeconds: Int
        /// The addresses that connections are taken from, and what each may do.
        public var allow: AllowList
        /// Whether nobody may write.
        public var isReadOnly: Bool
        /// What every client must prove that it has; nil to ask for nothing.
        public var key: SharedKey?
        /// Whether the digests of chunks are computed here, too, where the slots are host memory: peer memory is not
        /// seen by the processor.
        public var checksDigests: Bool
        /// Whether to stop after one transfer.
        public var once: Bool

        /// Options given one by one.
        public init(
            memory: MemoryRequest, fallback: Fallback = .refuse, slotBytes: UInt32 = 256 << 10,
            slotCount: UInt16 = 8, clientCount: Int? = nil, queueLimit: Int = 64, alwaysFlush: Bool = false,
            timeoutSeconds: Int = 30, minimumRate: UInt64 = 64 << 10,
            driveTimeoutSeconds: Int = 300, allow: AllowList = AllowList(), isReadOnly: Bool = false,
            key: SharedKey? = nil, checksDigests: Bool = false,
            once: Bool = false
        ) {
            self.memory = memory
            self.fallback = fallback
            self.slotBytes = slotBytes
            self.slotCount = slotCount
            self.clientCount = clientCount
            self.queueLimit = queueLimit
            self.minimumRate = minimumRate
            self.alwaysFlush = alwaysFlush
            self.timeoutSeconds = timeoutSeconds
            self.driveTimeoutSeconds = driveTimeoutSeconds
            self.allow = allow
            self.isReadOnly = isReadOnly
            self.key = key
            self.checksDigests = checksDigests
            self.once = once
        }
    }
}

extension DriveServer.Options {
    /// Checks the slots against the drive.
    func check(_ drive: any Drive) throws(PeerMRError) {
        guard slotBytes > 0, Int(slotBytes) % pageBytes == 0, Int(slotBytes) % drive.blockBytes == 0 else {
            throw .badSlotBytes(slotBytes, drive.path, max(pageBytes, drive.blockBytes))
        }
        for seconds in [timeoutSeconds, driveTimeoutSeconds] where !(1...86_400).contains(seconds) {
            throw .badTimeout(seconds)
        }
        guard slotCount > 0, slotCount <= slotLimit else {
            throw .badSlotCount(slotCount, slotLimit)
        }
        guard (1...clientLimit).contains(clientCount ?? 1), (0...clientLimit).contains(queueLimit) else {
            throw .badClientCount(clientCount ?? 1, queueLimit, clientLimit)
        }
        for range in allow.ranges {
            let block = UInt64(drive.blockBytes)
            guard range.upperBound <= drive.range.byteCount, range.lowerBound % block == 0,
                range.upperBound % block == 0
            else {
                throw .badClientRange(
                    range.lowerBound, range.upperBound - range.lowerBound, drive.range.byteCount, drive.blockBytes)
            }
        }
    }

    /// The slots of all clients.
    ///
    /// - Parameter seats: how many clients the device's completion queues have room for.
    func pool(on domain: ProtectionDomain, seats: Int) throws(PeerMRError) -> SlotPool {
        var access: Access = [.localWrite, .remoteWrite]
        if alwaysFlush || NICKind(of: domain.context.device) == .device { access.insert(.remoteRead) }
        return try SlotPool(
            once ? 1 : clientCount, limit: min(64, seats), of: Int(slotBytes) * Int(slotCount), in: memory, fallback,
            on: domain, access: access)
    }

    /// The completions that a client who is served can have at once.
    var completions: Int { Link.completions(window: Int(slotCount)) }

    /// How many clients a device's completion queues have room for, beside those that are not served; at least one.
    func seats(besides others: Int, on context: Context) -> Int {
        guard let most = try? context.attributes().maximumCompletions else { return 1 }
        return max(1, (most - (others + 1) * Link.earlyCompletions) / completions)
    }

    /// How many may wait: a server for one transfer has no queue.
    var queueRoom: Int { once ? 0 : queueLimit }
    /// How many clients may be on their way to a hello at once.
    var greetingRoom: Int { once ? 16 : max(16, min(128, (clientCount ?? 64) + queueLimit)) }

    /// Whether arrivals must be made sure of before the drive is started on them.
    func mustFlush(_ region: borrowing PeerRegion) -> Bool {
        alwaysFlush || PeerWriteFlush.isNeeded(for: region)
    }
}
