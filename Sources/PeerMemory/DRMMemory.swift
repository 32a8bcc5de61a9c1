// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemPackage
public import PeerMRCore
internal import Verbs

/// Memory of a display driver: a dumb buffer of a DRM device, exported by PRIME.
///
/// Drivers of GPUs with memory of their own may export it from there (amdgpu, xe), and hand out memory of the host
/// instead where the devices may not reach each other; others always use host memory (i915, nouveau). `owner` and
/// that of a region tell as much as is known. No library of a vendor is needed. The owner's way to the
/// bytes is a mapping of the dma-buf, where the driver allows that.
public final class DRMMemory: DMABufBacked {
    /// The dma-buf.
    public let buffer: DMABuf
    /// Where the memory begins in its dma-buf, in bytes.
    public var offset: UInt64 { 0 }
    /// The length in bytes.
    public let byteCount: Int
    /// The PCI function of the DRM device; nil where it is not one of PCI.
    public let provider: PCIAddress?
    /// The driver of the DRM device when the memory was allocated.
    public let providerDriver: String?

    /// Allocates a dumb buffer, and exports it.
    ///
    /// - Parameters:
    ///   - byteCount: how much, in bytes; rounded up to pages, and up to what the driver asks of a picture.
    ///   - node: the name of the device's node in `/dev/dri`: `card0`, for example, or `renderD128`, which stands for
    ///     the display node of the same device, because render nodes allocate no dumb buffers.
    ///   - root: where `/dev` and `/sys` are; tests put another there.
    /// - Throws: `invalidArgument` for a size or a name that cannot be, `notFound` (ENOENT) without such a device,
    ///   `notPermitted` (EACCES) without rights on it, `notSupported` (ENOSYS, EOPNOTSUPP, ENOTTY) where its driver has
    ///   no dumb buffers or exports none, `resourceLimit` (ENOMEM, ENOSPC) without that much memory. The corresponding
    ///   requests are `DRM_IOCTL_MODE_CREATE_DUMB` and `DRM_IOCTL_PRIME_HANDLE_TO_FD`; see
    ///   Documentation/gpu/drm-uapi.rst.
    public init(allocating byteCount: UInt64, card node: String, root: SystemRoot = .live) throws(PeerMRError) {
        let rounded = try HostAllocation.available(byteCount, root)
        guard let rows = UInt32(exactly: rounded / UInt64(pageBytes)) else { throw .impossibleBuffer(byteCount) }
        let card = Self.displayNode(of: node, root)
        let device: OwnedDescriptor
        do {
            device = try OwnedDescriptor(opening: root.appending("dev/dri/\(card)"), flags: O_RDWR)
        } catch {
            throw .drm("open", error, card)
        }
        // A picture of 32-bit pixels with a page in each row.
        var dumb = CreateDumb(height: rows, width: UInt32(pageBytes / 4), bitsPerPixel: 32)
        guard unsafe ioctl(device.rawValue, CreateDumb.request, &dumb) == 0 else {
            throw .drm("DRM_IOCTL_MODE_CREATE_DUMB", currentErrno(), card)
        }
        var export = PrimeHandle(handle: dumb.handle, flags: UInt32(O_RDWR | O_CLOEXEC))
        let isExported = unsafe ioctl(device.rawValue, PrimeHandle.request, &export) == 0
        let errno = currentErrno()
        // The dma-buf holds the memory from here on.
        var handle = dumb.handle
        _ = unsafe ioctl(device.rawValue, Self.destroyRequest, &handle)
        guard isExported else { throw .drm("DRM_IOCTL_PRIME_HANDLE_TO_FD", errno, card) }
        buffer = try DMABuf(new: export.descriptor)
        self.byteCount = Int(clamping: buffer.byteCount)
        provider = Self.function(of: card, root)
        providerDriver = provider.flatMap { root.driver(of: $0) }
    }

    /// Copies bytes out of the memory. See ``Verbs/Memory/read(into:at:)``.
    public func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        try buffer.read(into: &bytes, at: try place(offset, bytes.byteCount))
    }

    /// Copies bytes into the memory. See ``Verbs/Memory/write(_:at:)``.
    public func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        try buffer.write(bytes, at: try place(offset, bytes.byteCount))
    }

    /// The node of the same device that allocates dumb buffers, by sysfs; the node itself where there is none.
    static func displayNode(of node: String, _ root: SystemRoot) -> String {
        guard node.hasPrefix("renderD") else { return node }
        return root.entries("sys/class/drm/\(node)/device/drm")?.first { $0.hasPrefix("card") } ?? node
    }

    private static func function(of card: String, _ root: SystemRoot) -> PCIAddress? {
        root.realPath("sys/class/drm/\(card)/device")?.lastComponent.flatMap { PCIAddress($0.string) }
    }
}

// MARK: - The requests of include/uapi/drm/drm.h and drm_mode.h

extension DRMMemory {
    /// `struct drm_mode_create_dumb`.
    private struct CreateDumb {
        static let request: UInt = 0xc020_64b2
        var height: UInt32
        var width: UInt32
        var bitsPerPixel: UInt32
        var flags: UInt32 = 0
        var handle: UInt32 = 0
        var pitch: UInt32 = 0
        var byteCount: UInt64 = 0

        init(height: UInt32, width: UInt32, bitsPerPixel: UInt32) {
            self.height = height
            self.width = width
            self.bitsPerPixel = bitsPerPixel
        }
    }

    /// `struct drm_prime_handle`.
    private struct PrimeHandle {
        static let request: UInt = 0xc00c_642d
        var handle: UInt32
        var flags: UInt32
        var descriptor: Int32 = -1

        init(handle: UInt32, flags: UInt32) {
            self.handle = handle
            self.flags = flags
        }
    }

    /// Takes a `struct drm_mode_destroy_dumb`, which is the handle.
    private static let destroyRequest: UInt = 0xc004_64b4
}

extension PeerMRError {
    /// See: man 2 open, and drivers/gpu/drm/drm_dumb_buffers.c, drm_prime.c
    static let drm = ErrorTable(
        "open", "DRM_IOCTL_MODE_CREATE_DUMB", "DRM_IOCTL_PRIME_HANDLE_TO_FD", facts: "card"
    ) { card in
        ErrorRow(
            call: "DRM_IOCTL_MODE_CREATE_DUMB", [.permissionDenied], .notSupported,
            "/dev/dri/\(card) is a render node, which allocates no dumb buffers, and has no display node beside it",
            "export memory by the driver's own library, and pass its descriptor; or use another DRM device")
        ErrorRow(
            [.noSuchFileOrDirectory], .notFound, "there is no /dev/dri/\(card)",
            "load the driver of the display device; ls /dev/dri lists the devices")
        ErrorRow(
            [.permissionDenied, .notPermitted], .notPermitted, "this process may not use /dev/dri/\(card)",
            "run as root, or add this user to the group of the device (video)")
        ErrorRow(
            [.noFunction, .notSupported, .notSupportedOnSocket, .inappropriateIOCTLForDevice], .notSupported,
            "the driver of /dev/dri/\(card) allocates no dumb buffers, or exports none",
            "use another DRM device, or another kind of memory")
        ErrorRow(
            [.noMemory, .noSpace, .invalidArgument], .resourceLimit,
            "the driver of /dev/dri/\(card) does not give that much memory", "ask for less")
        ErrorRow(.system, "/dev/dri/\(card) cannot be used", "see the kernel log (dmesg)")
    }
}
