// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import PCITopology
internal import SystemPackage
public import PeerMRCore

/// A run of memory that is the application's own, and what stands there.
///
/// It is a note of what was seen at one time: nothing is held, and nothing is ever unmapped or closed.
public struct LentRange: Hashable, Sendable {
    /// The address of the first byte in this process.
    public let address: UInt64
    /// The length in bytes.
    public let byteCount: UInt64
    /// What stands there.
    public let object: MappedObject
    /// Where the range begins in its object, in bytes.
    let offset: UInt64
    /// Whether all of it may be written, and what is written reaches the object.
    let isWritable: Bool
    let isShared: Bool
    let root: SystemRoot

    /// Looks at what stands at an address of this process, in `/proc/self/maps`, once.
    ///
    /// The range may lie over several mappings of one object.
    ///
    /// - Parameters:
    ///   - address: the address of the first byte.
    ///   - byteCount: how many bytes.
    ///   - root: where `/proc` and `/sys` are; tests put another there.
    /// - Throws: `invalidArgument` for an empty range, for one beyond the end of the address space, with holes in it,
    ///   over several objects, or over parts of one dma-buf that do not follow each other there; `memoryRevoked` for
    ///   p2pmem whose device is no longer there; `notSupported` for a dma-buf of a kernel that cannot tell one from
    ///   another; `system` where `/proc` cannot be read.
    public init(at address: UInt64, byteCount: UInt64, root: SystemRoot = .live) throws(PeerMRError) {
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
        isWritable = lines.allSatisfy(\.isWritable)
        isShared = lines.allSatisfy(\.isShared)
        self.root = root
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
        guard let number = root.kernelNumber(ofDirectory: door) else { return }
        guard number == inode else { throw .poolGone(provider) }
    }
}

extension AnyMemory {
    /// Memory that stays the application's: it is registered where it stands, and neither unmapped nor closed.
    ///
    /// A dma-buf is taken up by a descriptor that the process still has open, whose duplicate is held meanwhile.
    /// Devices shall know it by the address that it has in this process, as they do other mappings.
    ///
    /// - Parameters:
    ///   - range: what was recognised. The application keeps it mapped as long as this value lives, and the region that
    ///     is made of it.
    ///   - isWritten: whether devices are to write to it.
    /// - Throws: `notFound` where no descriptor of the dma-buf is open any more, `notPermitted` where devices were to
    ///   write to what is mapped for reading, `notSupported` for a private mapping, whose copy devices would miss.
    @unsafe
    public init(lending range: LentRange, isWritten: Bool) throws(PeerMRError) {
        guard let address = unsafe UnsafeMutableRawPointer(bitPattern: UInt(range.address)) else {
            throw .nothingMapped(range.address..<range.address + range.byteCount, at: range.address)
        }
        let count = Int(range.byteCount)
        switch range.object {
        case .host: self = .host(unsafe HostMemory(lending: address, byteCount: count))
        case .device(let path):
            self = .host(unsafe HostMemory(lending: address, byteCount: count, device: path))
        case .p2pmem(let provider):
            try range.validateAccess(isWritten)
            self = .p2pmem(
                unsafe P2PMemory(lending: address, byteCount: count, provider: provider, root: range.root))
        case .dmabuf(let identity, _):
            try range.validateAccess(isWritten)
            self = .dmabuf(try DMABufMemory(lending: range, identity))
        }
    }
}

extension LentRange {
    /// What goes through a private mapping would end in other memory than the CPU sees; what is mapped for reading is
    /// not to be written by devices either.
    fileprivate func validateAccess(_ isWritten: Bool) throws(PeerMRError) {
        guard isShared else { throw .privateMapping(self) }
        guard isWritable || !isWritten else { throw .readOnlyMapping(self) }
    }
}

extension DMABufMemory {
    fileprivate init(lending range: LentRange, _ identity: DMABuf.Identity) throws(PeerMRError) {
        let buffer = try DMABuf(openAs: identity, range, root: range.root)
        try range.validatePlausible(buffer)
        let owner = try MappedBufferOwner(of: buffer)
        try self.init(buffer, owner: owner, offset: range.offset, byteCount: range.byteCount)
        mappedAddress = range.address
    }
}

extension LentRange {
    /// Drivers of GPUs map their buffers through their own file, at an offset of which they have made something else:
    /// from 4 GiB on (drivers/gpu/drm/drm_prime.c, `drm_gem_prime_mmap`). Such an offset is no place in the buffer.
    fileprivate func validatePlausible(_ buffer: borrowing DMABuf) throws(PeerMRError) {
        let keepTheOffset = ["udmabuf", "system"]
        guard offset < 1 << 32 || keepTheOffset.contains(buffer.exporter), offset <= buffer.byteCount,
            byteCount <= buffer.byteCount - offset
        else { throw .implausibleOffset(self, offset, buffer.exporter, buffer.byteCount) }
    }
}

extension DMABuf {
    /// A duplicate of a descriptor that this process has open on a certain dma-buf; of several, one that may write.
    fileprivate init(
        openAs identity: Identity, _ range: LentRange, root: SystemRoot
    ) throws(PeerMRError) {
        var found: DMABuf?
        for name in root.entries("proc/self/fd") ?? [] {
            guard let descriptor = Int32(name), Self.identity(of: descriptor) == identity else { continue }
            // Another thread may have closed it, and opened something else by that number.
            let duplicate = peermr_duplicate(descriptor)
            guard duplicate >= 0 else {
                let errno = currentErrno()
                if errno == .badFileDescriptor { continue }
                throw .duplicate(errno, descriptor)
            }
            let file = OwnedDescriptor(adopting: duplicate)
            guard Self.identity(of: duplicate) == identity else { continue }
            let facts = try DMABufInfo(of: duplicate)
            found = DMABuf(file: file, facts: facts)
            if facts.isWritable { break }
        }
        guard let found else { throw .descriptorClosed(range) }
        self = found
    }

    private static func identity(of descriptor: Int32) -> Identity? {
        var device: UInt64 = 0
        var inode: UInt64 = 0
        guard unsafe peermr_file_identity(descriptor, &device, &inode) == 0 else { return nil }
        return Identity(device: device, inode: inode)
    }
}
