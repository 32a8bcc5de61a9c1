// SPDX-License-Identifier: Apache-2.0

public import Verbs
public import SystemPackage
public import PeerMRCore

// The one place of this module that turns (call, errno) into words.
extension PeerMRError {
    /// See: man 2 open (O_DIRECT, O_EXCL on block devices)
    static func openBlockDevice(_ errno: Errno, _ path: FilePath) -> PeerMRError {
        let (code, reason, remedy): (PeerMRError.Code, String, String?) =
            switch errno {
            case .noSuchFileOrDirectory, .noSuchAddressOrDevice, .operationNotSupportedByDevice:
                (.notFound, "there is no drive at \(path)", "see lsblk for those that there are")
            case .permissionDenied, .notPermitted:
                (
                    .notPermitted, "this user may not write to \(path)",
                    "run as root, or give the user rights on it"
                )
            case .resourceBusy:
                (
                    .busy, "\(path) is in use: it is mounted, swapped to, or part of a volume or array",
                    "see lsblk \(path); unmount it, or allow its contents to be overwritten"
                )
            case .notBlockDevice, .isDirectory, .invalidArgument, .inappropriateIOCTLForDevice:
                (
                    .invalidArgument, "\(path) is no block device",
                    "name a drive, such as /dev/nvme0n1"
                )
            case .readOnlyFileSystem:
                (.notPermitted, "\(path) is read-only", "take a drive that can be written")
            default: (.system, "\(path) cannot be opened", nil)
            }
        return PeerMRError(code, call: "open", errno: errno, reason: reason, remedy: remedy)
    }

    static func holdsContent(_ path: FilePath, _ content: String) -> PeerMRError {
        PeerMRError(
            .busy, call: "blkid_do_safeprobe", reason: "\(path) holds \(content)",
            remedy: "take an empty drive, or allow its contents to be overwritten")
    }

    static func noNamespace(_ path: FilePath) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "\(path) is no whole namespace of an NVMe drive, which passthrough needs",
            remedy: "name one, such as /dev/nvme0n1, or use the block device")
    }

    /// See: man 2 io_uring_setup (IORING_SETUP_SQE128)
    static func openCommandRing(_ errno: Errno) -> PeerMRError {
        guard errno == .invalidArgument else { return .openRing(errno) }
        return PeerMRError(
            .notSupported, call: "io_uring_setup", errno: errno,
            reason: "io_uring of this kernel has no room for NVMe commands",
            remedy: "use Linux 5.19 or newer, or the block device without passthrough")
    }

    /// See: man 2 open; drivers/nvme/host/ioctl.c
    static func openNamespace(_ errno: Errno, _ path: FilePath) -> PeerMRError {
        switch errno {
        case .noSuchFileOrDirectory, .noSuchAddressOrDevice, .operationNotSupportedByDevice:
            PeerMRError(
                .notSupported, call: "open", errno: errno, reason: "the drive has no character device \(path)",
                remedy: "NVMe passthrough needs Linux 5.13 or newer; use the block device")
        case .permissionDenied, .notPermitted:
            PeerMRError(
                .notPermitted, call: "open", errno: errno, reason: "this user may not send commands to \(path)",
                remedy: "run as root, or give the user rights on it")
        default:
            PeerMRError(
                .system, call: "open", errno: errno, reason: "\(path) cannot be used for passthrough",
                remedy: "see the kernel log (dmesg), or use the block device")
        }
    }

    /// See: man 2 io_uring_setup
    static func openRing(_ errno: Errno) -> PeerMRError {
        switch errno {
        case .noFunction, .notPermitted:
            PeerMRError(
                .notSupported, call: "io_uring_setup", errno: errno,
                reason: "io_uring is not to be had here",
                remedy: "see sysctl kernel.io_uring_disabled, and the container's seccomp profile")
        case .noMemory:
            PeerMRError(
                .resourceLimit, call: "io_uring_setup", errno: errno,
                reason: "io_uring gets no memory", remedy: "raise the memory lock limit (ulimit -l)")
        default:
            PeerMRError(
                .system, call: "io_uring_setup", errno: errno, reason: "io_uring cannot be set up")
        }
    }

    /// Why a drive did not do what it was told.
    ///
    /// See: block/blk-mq-dma.c (EINVAL for a refused pair), mm/gup.c (EREMOTEIO without peer-to-peer in the queue).
    public static func storage(
        _ errno: Errno, _ operation: String, on device: borrowing BlockDevice, memory: MemoryKind
    ) -> PeerMRError {
        let refused = errno == .invalidArgument || errno.rawValue == 121
        if memory != .host, refused {
            return PeerMRError(
                .notSupported, call: "io_uring", errno: errno,
                reason: "the drive \(device.name) may not \(operation) that peer memory",
                remedy:
                    "put both devices under one PCIe switch, or use the drive's own memory; the kernel log says "
                    + "why it refused"
            )
        }
        return PeerMRError(
            errno == .operationNotSupportedByDevice || errno == .ioError ? .disconnected : .system,
            call: "io_uring", errno: errno,
            reason: "the drive \(device.name) failed to \(operation) data",
            remedy: "see the kernel log (dmesg) and smartctl")
    }
}
