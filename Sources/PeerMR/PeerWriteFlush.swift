// SPDX-License-Identifier: Apache-2.0

public import SystemPackage
public import PeerMRCore
public import Verbs

/// Makes sure that what a NIC has written into another device's memory has arrived there.
///
/// A completion in host memory and the payload in the peer's memory travel different PCIe paths, and PCIe orders
/// writes along one path only (PCI Express Base Specification, section 2.4.1). So when the completion is seen, the
/// payload may still be under way, and a third device told to read it could read old bytes. A read by the same NIC
/// from the same memory cannot pass its earlier writes: when its answer is there, so are they.
///
/// The read goes over a queue pair connected to itself, so the network has no part in it. It costs one PCIe
/// round trip for a message, about 1 to 3 µs on current hardware, and runs beside other transfers.
/// A software device needs none: its CPU has stored the bytes before it reports them.
public struct PeerWriteFlush: ~Copyable {
    private var loop: QueuePair
    private let landing: PeerRegion

    /// Whether transfers into such a region need it.
    public static func isNeeded(for region: borrowing PeerRegion) -> Bool {
        // A flush too many costs a read, one too few the data.
        (region.owner == .peer || region.owner == .unknown) && region.nic == .device
    }

    /// Makes the queue pair, over the path of a connected one.
    ///
    /// - Parameters:
    ///   - depth: flushes outstanding at once.
    ///   - domain: the domain of the regions that are written to.
    ///   - completions: where they complete, with the request ID given to ``post(reading:of:requestID:)``.
    ///   - connected: a queue pair of the same device that is connected; it stays as it is.
    /// - Throws: as the queue pair and the page of host memory do that the reads land in.
    public init(
        depth: Int, on domain: ProtectionDomain, completions: CompletionQueue,
        like connected: borrowing QueuePair
    ) throws(PeerMRError) {
        var loop = try QueuePair(
            domain: domain, sendQueue: completions, receiveQueue: completions,
            capacity: QueuePairCapacity(sends: depth, receives: 1))
        try loop.connectLoopback(like: connected)
        let landing = try PeerRegion.allocate(
            pageBytes, of: .host, on: domain, access: [.localWrite])
        self.loop = loop
        self.landing = landing
    }

    /// Reads one byte of what was written; when the read completes, the bytes up to there have arrived.
    ///
    /// - Parameters:
    ///   - offset: where in the region the transfer began, which is where its ``Verbs/TransferConstraint`` allows a
    ///     read.
    ///   - region: the region that was written to.
    ///   - requestID: what the completion carries.
    /// - Throws: ENOMEM when `depth` are outstanding, EINVAL for an offset outside the region.
    public mutating func post(
        reading offset: UInt64, of region: RegionKeys, requestID: UInt64
    ) throws(Errno) {
        guard offset < region.byteCount else { throw .invalidArgument }
        let target: ScatterGatherElement
        do { target = try landing.keys.element(at: 0, count: 1) } catch { throw .invalidArgument }
        try loop.postRead(
            target, from: RemoteAddress(address: region.address + offset, key: region.remoteKey),
            requestID: requestID)
    }
}
