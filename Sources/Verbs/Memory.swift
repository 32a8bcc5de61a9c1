// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

/// Memory that can be registered: the host's, a drive's controller memory buffer, another driver's dma-buf, the NIC's.
///
/// It is an object, and a ``MemoryRegion`` holds it: several regions over one memory are ordinary, and the memory is
/// released after the last of them. A new kind of exporter is a class that conforms to this protocol; for one that
/// exports dma-bufs, ``PeerMemory/DMABufBacked`` does most of it.
public protocol Memory: AnyObject, Sendable {
    /// What kind of memory it is.
    var kind: MemoryKind { get }
    /// The PCI function whose memory it is; nil for the host's, and where that is not known.
    var provider: PCIAddress? { get }
    /// The provider's driver when the memory was opened; nil where that was not looked up. Without that driver the
    /// memory is gone.
    var providerDriver: String? { get }
    /// The driver that exports a dma-buf, as the kernel names it; nil for other memory.
    var exporter: String? { get }
    /// Whose memory it is, as far as the memory itself tells, whatever hands it out. What the route of a device adds is
    /// told of a region.
    var owner: MemoryOwner { get }
    /// The length in bytes.
    var byteCount: Int { get }
    /// Distinguishes the memory from any other that exists.
    var identity: MemoryIdentity { get }
    /// Where the memory begins in what ``identity`` names, in bytes: two ranges of one dma-buf have one identity.
    var identityOffset: UInt64 { get }

    /// How a device gets at the memory.
    ///
    /// - Parameter access: what the device, and its peers, are to do with it.
    /// - Throws: where the memory does not allow that access (`notPermitted`), or can no longer be reached.
    func backing(for access: Access) throws(PeerMRError) -> MemoryBacking

    /// Copies bytes out of the memory by the owner's means, not through a region.
    ///
    /// - Parameters:
    ///   - bytes: where they go, and how many.
    ///   - offset: from the beginning of the memory, in bytes.
    /// - Throws: `notSupported` where the owner cannot read it, `memoryRevoked` when it was taken back,
    ///   `invalidArgument` where the range is not inside.
    func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError)

    /// Copies bytes into the memory by the owner's means. See ``read(into:at:)``.
    func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError)

    /// Explains a refused registration, where the memory knows more about it than the call.
    func explain(_ refusal: PeerMRError) -> PeerMRError
}

extension Memory {
    /// The PCI function whose memory it is, where that is known.
    public var provider: PCIAddress? { nil }
    /// The provider's driver when the memory was opened.
    public var providerDriver: String? { nil }
    /// The driver that exports the dma-buf; nil for other memory.
    public var exporter: String? { nil }
    /// Whose memory it is, by its kind: of a dma-buf that is not known.
    public var owner: MemoryOwner {
        switch kind {
        case .host: .host
        case .p2pmem: .peer
        case .dmabuf: .unknown
        case .nic: .nic
        }
    }
    /// Distinguishes the memory from any other that exists.
    public var identity: MemoryIdentity { .object(ObjectIdentifier(self)) }
    /// Where the memory begins in what ``identity`` names: here at its beginning.
    public var identityOffset: UInt64 { 0 }
    /// Explains a refused registration: here with no more than the call says.
    public func explain(_ refusal: PeerMRError) -> PeerMRError { refusal }
}

/// Distinguishes memory from any other that exists, as a key of a cache.
public enum MemoryIdentity: Hashable, Sendable {
    /// An object of this process. Another object may get its number when it is gone: keep it while the key is used.
    case object(ObjectIdentifier)
    /// A dma-buf: the number of the kernel's file system of dma-bufs, and the buffer's in it, whichever descriptor
    /// leads to it.
    case dmaBuf(device: UInt64, inode: UInt64)
    /// A pool of p2pmem that the application has mapped, by the file that it has mapped: sysfs gives a pool that comes
    /// again another number. Which mapping it is ``Memory/identityOffset`` tells, the address.
    ///
    /// Two mappings of a pool that were at one address after each other are not told apart: it names what is there now,
    /// as an on-demand region over the address does.
    case pool(device: UInt64, inode: UInt64)
}
