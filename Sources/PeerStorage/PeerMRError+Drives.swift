// SPDX-License-Identifier: Apache-2.0

public import Verbs
public import SystemPackage
public import PeerMRCore

extension PeerMRError {
    package static let drivesErrors = ErrorSection(
        "Drives",
        [
            openBlockDevice, holdsContent, notWholeBlocks, beyondDrive, emptyDriveRange, noNamespace, openNamespace,
            unknownFormat, metadataFormat, otherBlocks,
            namespaceRing, openRing, drivePeerRefused, noPeerDrive, driveFailed, driveGone,
        ])
}

// Opening a drive.
extension PeerMRError {
    /// See: man 2 open (O_DIRECT, O_EXCL on block devices)
    static let openBlockDevice = ErrorTable("open", facts: "path") { path in
        ErrorRow(
            [.noSuchFileOrDirectory, .noSuchAddressOrDevice, .operationNotSupportedByDevice], .notFound,
            "there is no drive at \(path)", "see lsblk for those that there are")
        ErrorRow([.permissionDenied, .notPermitted], .notPermitted, "this user may not write to \(path)")
            .with(remedy: "run as root, or give the user rights on it")
        ErrorRow([.resourceBusy], .busy, "\(path) is in use: it is mounted, swapped to, or part of a volume or array")
            .with(remedy: "see lsblk \(path); unmount it, or allow its contents to be overwritten")
        ErrorRow(
            [.notBlockDevice, .isDirectory, .invalidArgument, .inappropriateIOCTLForDevice], .invalidArgument,
            "\(path) is no block device", "name a drive, such as /dev/nvme0n1")
        ErrorRow([.readOnlyFileSystem], .notPermitted, "\(path) is read-only", "take a drive that can be written")
        ErrorRow(.system, "\(path) cannot be opened")
    }

    static let holdsContent = ErrorTable("blkid_do_safeprobe", facts: "path", "content") { path, content in
        ErrorRow(.busy, "\(path) holds \(content)", "take an empty drive, or allow its contents to be overwritten")
    }
    static let notWholeBlocks = ErrorTable(
        facts: "offset", "length", "path", "block size"
    ) { offset, length, path, block in
        ErrorRow(.invalidArgument, "offset \(offset) and length \(length) are not of whole blocks of \(path)")
            .with(remedy: "take multiples of \(block) bytes")
    }
    static let beyondDrive = ErrorTable(facts: "offset", "length", "path", "size") { offset, length, path, size in
        ErrorRow(
            .invalidArgument,
            "offset \(offset) and length \(length) go past the end of \(path), which has \(size) bytes",
            "take less, or a larger drive")
    }
    static let emptyDriveRange = ErrorTable(facts: "path", "block size") { path, block in
        ErrorRow(.invalidArgument, "a range of no bytes was asked for on \(path)")
            .with(remedy: "ask for at least one block of \(block) bytes")
    }
    static let noNamespace = ErrorTable(facts: "path") { path in
        ErrorRow(.invalidArgument, "\(path) is no whole namespace of an NVMe drive, which passthrough needs")
            .with(remedy: "name one, such as /dev/nvme0n1, or use the block device")
    }

    /// See: man 2 open; drivers/nvme/host/ioctl.c
    static let openNamespace = ErrorTable("open", facts: "path") { path in
        ErrorRow(
            [.noSuchFileOrDirectory, .noSuchAddressOrDevice, .operationNotSupportedByDevice], .notSupported,
            "the drive has no character device \(path)",
            "NVMe passthrough needs Linux 5.13 or newer; use the block device")
        ErrorRow([.permissionDenied, .notPermitted], .notPermitted, "this user may not send commands to \(path)")
            .with(remedy: "run as root, or give the user rights on it")
        ErrorRow(
            .system, "\(path) cannot be used for passthrough", "see the kernel log (dmesg), or use the block device")
    }
}

// How it is formatted.
extension PeerMRError {
    /// See: drivers/nvme/host/ioctl.c (nvme_cmd_allowed)
    static let unknownFormat = ErrorTable("ioctl", facts: "path") { path in
        ErrorRow(
            [.permissionDenied, .notPermitted], .notPermitted, "this user may not ask how \(path) is formatted",
            "run as root, or use the block device")
        ErrorRow(.system, "\(path) does not tell how it is formatted", "use the block device")
    }
    static let metadataFormat = ErrorTable(facts: "path", "bytes") { path, bytes in
        ErrorRow(
            .notSupported,
            "\(path) is formatted with \(bytes) bytes of metadata for each block, which passthrough does not write",
            "use the block device, or format it without metadata, which erases it (see nvme-format(1))")
    }
    static let otherBlocks = ErrorTable(facts: "path", "found", "expected") { path, found, expected in
        ErrorRow(.notSupported, "\(path) has blocks of \(found) bytes, and the kernel says \(expected)")
            .with(remedy: "use the block device")
    }
}

// Using it.
extension PeerMRError {
    /// See: man 2 io_uring_setup (IORING_SETUP_SQE128)
    static let namespaceRing = ErrorTable("io_uring_setup") {
        ErrorRow([.invalidArgument], .notSupported, "io_uring of this kernel has no room for NVMe commands")
            .with(remedy: "use Linux 5.19 or newer, or the block device without passthrough")
    }

    static func openCommandRing(_ errno: Errno) -> PeerMRError {
        errno == .invalidArgument ? namespaceRing(errno) : openRing(errno)
    }

    /// See: man 2 io_uring_setup
    static let openRing = ErrorTable("io_uring_setup") {
        ErrorRow([.noFunction, .notPermitted], .notSupported, "io_uring is not available here")
            .with(remedy: "see sysctl kernel.io_uring_disabled, and the container's seccomp profile")
        // Rings count against the memory cgroup since Linux 5.12, and no longer against RLIMIT_MEMLOCK.
        ErrorRow([.noMemory], .resourceLimit, "io_uring gets no memory", "free some, or raise memory.max of the cgroup")
        ErrorRow(.system, "io_uring cannot be set up")
    }

    static let drivePeerRefused = ErrorTable(
        "io_uring", origin: .drive, facts: "drive", "read or write"
    ) { drive, operation in
        ErrorRow(
            [.invalidArgument, .remoteIO], .notSupported, "the drive \(drive) may not \(operation) that peer memory",
            "put both devices under one PCIe switch, or use the drive's own memory; the kernel log says why it refused")
    }

    /// A drive without a PCI function, such as a loop device or a mapped volume.
    static let noPeerDrive = ErrorTable("io_uring", origin: .drive, facts: "drive") { drive in
        ErrorRow([.remoteIO], .notSupported, "the drive \(drive) takes no peer memory")
            .with(remedy: "use an NVMe drive on the PCI bus: its block device, or a partition of it")
    }

    /// The numbers are those of the block layer: see block/blk-core.c, blk_errors.
    static let driveFailed = ErrorTable(
        "io_uring", origin: .drive, facts: "drive", "read, write or flush"
    ) { drive, operation in
        ErrorRow(
            [.operationNotSupportedByDevice, .noSuchAddressOrDevice], .disconnected,
            "the drive \(drive) is gone: it could not \(operation) data", "see the kernel log (dmesg)")
        ErrorRow([.ioError], .disconnected, "the drive \(drive) failed to \(operation) data")
            .with(remedy: "see the kernel log (dmesg) and smartctl")
        ErrorRow([.noSpace], .resourceLimit, "the drive \(drive) has no space left to \(operation) data")
            .with(remedy: "make room in the pool that it is provisioned from")
        ErrorRow([.timedOut], .disconnected, "the drive \(drive) did not \(operation) data in time")
            .with(remedy: "see the kernel log (dmesg), and nvme_core.io_timeout")
        ErrorRow([.noData], .system, "the drive \(drive) has a medium error: it could not \(operation) data")
            .with(remedy: "see smartctl, and replace it")
        ErrorRow(.system, "the drive \(drive) failed to \(operation) data")
            .with(remedy: "see the kernel log (dmesg) and smartctl")
    }

    static let driveGone = ErrorTable(origin: .drive, facts: "path") { path in
        ErrorRow([.operationNotSupportedByDevice], .disconnected, "the drive \(path) is gone")
            .with(remedy: "see the kernel log (dmesg); start again when it is back")
        ErrorRow(.disconnected, "the drive \(path) is gone")
    }

    /// A drive that was removed, or has shrunk: not the one that was opened.
    package static func gone(_ path: FilePath) -> PeerMRError { driveGone(.operationNotSupportedByDevice, path) }

    /// Why a drive did not do what it was told.
    ///
    /// See: block/blk-mq-dma.c (EINVAL for a refused pair, before Linux 6.17 EREMOTEIO of the DMA mapping), mm/gup.c
    /// (EREMOTEIO without peer-to-peer in the queue).
    public static func storage(
        _ errno: Errno, _ operation: String, on device: borrowing BlockDevice, memory: MemoryKind
    ) -> PeerMRError {
        guard memory != .host, errno == .invalidArgument || errno == .remoteIO else {
            return driveFailed(errno, device.name, operation)
        }
        return errno == .remoteIO && device.function == nil
            ? noPeerDrive(errno, device.name) : drivePeerRefused(errno, device.name, operation)
    }
}
