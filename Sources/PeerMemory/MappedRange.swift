// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore
internal import Verbs

/// A range of this process's addresses, and the object that is mapped there.
///
/// It records what was seen at one time, and holds nothing.
struct MappedRange: Hashable, Sendable {
    /// The address of the first byte in this process.
    let address: UInt64
    /// The length in bytes.
    let byteCount: UInt64
    /// What is mapped there.
    let object: MappedObject
    /// Where the range begins in its object, in bytes.
    let offset: UInt64
    /// The numbers of the object's file system, and of the object in it; 0 for memory without a file.
    let device: UInt64
    let inode: UInt64
    /// Whether all of it may be written, and what is written reaches the object.
    let isWritable: Bool
    let isShared: Bool
    let root: SystemRoot

    /// Looks the range up in `/proc/self/maps`, once. It may span several mappings of one object.
    ///
    /// - Throws: `invalidArgument` for an empty range, for one beyond the end of the address space, with holes in it,
    ///   over several objects, or over parts of one dma-buf that do not follow each other there; `memoryRevoked` for
    ///   p2pmem whose device is no longer there; `notSupported` for a dma-buf of a kernel that cannot tell one from
    ///   another; `system` where `/proc` cannot be read.
    init(at address: UInt64, byteCount: UInt64, root: SystemRoot = .live) throws(PeerMRError) {
        guard byteCount > 0 else { throw .emptyRange(address) }
        guard byteCount <= UInt64(Int.max), address <= .max - byteCount else {
            throw .rangeWraps(address, byteCount)
        }
        let range = address..<address + byteCount
        let lines = try MemoryMap.lines(covering: range, root: root)
        try Self.validateWhole(range, lines)
        guard let first = lines.first else { throw .nothingMapped(range, at: address) }
        let object = MappedObject(first)
        try Self.validateOne(range, object, lines)
        if first.path.hasPrefix("anon_inode:dmabuf") { throw .namelessBuffer(address) }
        if case .p2pmem(let provider) = object { try Self.validateAlive(provider, first.inode, root) }
        self.address = address
        self.byteCount = byteCount
        self.object = object
        offset = first.offset &+ (address - first.addresses.lowerBound)
        device = first.device
        inode = first.inode
        isWritable = lines.allSatisfy(\.isWritable)
        isShared = lines.allSatisfy(\.isShared)
        self.root = root
    }

    /// All of the mappings that a range is in, or just the range.
    ///
    /// - Throws: as ``init(at:byteCount:root:)`` does.
    static func around(
        _ address: UInt64, byteCount: UInt64, whole: Bool, root: SystemRoot
    ) throws(PeerMRError) -> MappedRange {
        let range = try MappedRange(at: address, byteCount: byteCount, root: root)
        guard whole, range.object != .host else { return range }
        let lines = try MemoryMap.lines(covering: address..<address + byteCount, root: root)
        guard let start = lines.first?.addresses.lowerBound, let end = lines.last?.addresses.upperBound,
            start <= address, end > address
        else { return range }
        return try MappedRange(at: start, byteCount: end - start, root: root)
    }

    /// The object is mapped there still.
    ///
    /// - Throws: as ``init(at:byteCount:root:)`` does, and `memoryRevoked` where another object is there.
    func validateUnchanged() throws(PeerMRError) {
        let now = try MappedRange(at: address, byteCount: byteCount, root: root)
        // Of one name may be a pool that is there again, which is another one.
        guard now.object == object, object == .host || now.inode == inode else {
            throw .replacedRange(address, object, now.object)
        }
    }

    /// No part of the range is without memory.
    private static func validateWhole(_ range: Range<UInt64>, _ lines: [MemoryMapLine]) throws(PeerMRError) {
        var reached = range.lowerBound
        for line in lines {
            guard line.addresses.lowerBound <= reached else { throw .nothingMapped(range, at: reached) }
            reached = line.addresses.upperBound
        }
        guard reached >= range.upperBound else { throw .nothingMapped(range, at: reached) }
    }

    /// All of the range is of one object, and of a dma-buf in its order.
    private static func validateOne(
        _ range: Range<UInt64>, _ object: MappedObject, _ lines: [MemoryMapLine]
    ) throws(PeerMRError) {
        guard let first = lines.first else { return }
        for line in lines.dropFirst() {
            let other = MappedObject(line)
            let start = line.addresses.lowerBound
            // Pools have one number as long as their device is there: another number is an earlier life of it.
            guard other == object, object == .host || line.inode == first.inode else {
                throw .mixedRange(range, object, other, from: start)
            }
            if case .device(let path) = object, MappedObject.isVFIO(path) {
                throw .severalMappings(range.count, range.lowerBound, start)
            }
            guard case .dmabuf = object else { continue }
            guard line.offset == first.offset &+ (start - first.addresses.lowerBound) else {
                throw .disorderlyRange(range, object, from: start)
            }
        }
    }

    /// The pool that was mapped is still there: a mapping of one that was removed keeps its path, and has no memory.
    private static func validateAlive(
        _ provider: PCIAddress, _ inode: UInt64, _ root: SystemRoot
    ) throws(PeerMRError) {
        let door = "\(P2PPool.folder(of: provider))/allocate"
        // Where sysfs is not mounted nothing can be said.
        guard root.exists("sys/bus/pci/devices") else { return }
        guard root.exists(door) else { throw .poolGone(provider) }
        try validate(door: root.kernelNumber(ofDirectory: door), is: inode, provider)
    }

    /// sysfs gives a pool that comes again another number; nil where this is no sysfs.
    static func validate(door number: UInt64?, is inode: UInt64, _ provider: PCIAddress) throws(PeerMRError) {
        guard number ?? inode == inode else { throw .poolGone(provider) }
    }
}

extension MappedRange {
    /// What goes through a private mapping would end in other memory than the CPU sees; what is mapped for reading is
    /// not to be written by devices either.
    func validate(_ access: Access) throws(PeerMRError) {
        guard isShared else { throw .privateMapping(object, address) }
        guard isWritable || !access.isWriting else { throw .readOnlyMapping(object, address) }
    }

    /// Drivers of GPUs map their buffers through their own file, at an offset of which they have made something else:
    /// from 4 GiB on (drivers/gpu/drm/drm_prime.c, `drm_gem_prime_mmap`). Such an offset is no place in the buffer.
    func validateOffset(in buffer: DMABuf) throws(PeerMRError) {
        guard offset < 1 << 32 || buffer.isOfHostExporter, offset <= buffer.byteCount,
            byteCount <= buffer.byteCount - offset
        else { throw .implausibleOffset(address, offset, buffer.exporter, buffer.byteCount) }
    }
}
