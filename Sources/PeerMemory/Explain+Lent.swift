// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
internal import PeerMRCore

// What stands at an address that an application names, and why it cannot be registered: into words.
extension PeerMRError {
    /// A driver's own mapping: it has no pages that could be pinned (VM_PFNMAP, mm/gup.c).
    static func deviceMapping(_ error: PeerMRError, _ path: String) -> PeerMRError {
        guard error.code == .notSupported else { return error }
        let object = MappedObject.device(path: path)
        return PeerMRError(
            .notSupported, call: error.call, errno: error.errno,
            reason: "\(object) cannot be registered by its address: it is a device's, and has no pages to pin",
            remedy:
                "have the device's driver export it as a dma-buf and register that: for a BAR bind the function to "
                + "vfio-pci (Linux 6.19 or newer); GPUs' libraries have a call for theirs")
    }

    /// The kernel could not copy from or to a mapping.
    static func mappingLost(_ errno: Errno, _ provider: PCIAddress?) -> PeerMRError {
        let whose = provider.map { "the memory of \($0)" } ?? "the memory"
        guard errno == .badAddress else {
            return PeerMRError(
                .system, call: "copy", errno: errno, reason: "\(whose) cannot be copied",
                remedy: "free memory: the copy goes through a file in memory")
        }
        return PeerMRError(
            .memoryRevoked, call: "copy", errno: errno, reason: "\(whose) is gone: it was removed, or lost its driver",
            remedy: "let go of this memory, and allocate anew when the device is back")
    }

    static var noMemoryMap: PeerMRError {
        PeerMRError(
            .system, reason: "what this process has mapped cannot be read from /proc/self/maps",
            remedy: "mount /proc: containers and chroots may lack it")
    }

    static func emptyRange(_ address: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "0 bytes at \(hexadecimal(address)) were to be registered",
            remedy: "name one byte or more")
    }

    static func rangeWraps(_ address: UInt64, _ byteCount: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason: "\(byteCount) bytes from \(hexadecimal(address)) on reach beyond the end of the address space",
            remedy: "compare address and length with what mmap returned and was asked for")
    }

    static func nothingMapped(_ range: Range<UInt64>, at hole: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason:
                "nothing is mapped at \(hexadecimal(hole)), which is among the \(range.count) bytes from "
                + "\(hexadecimal(range.lowerBound)) on",
            remedy: "map memory there first, and keep it mapped as long as it is registered")
    }

    static func mixedRange(
        _ range: Range<UInt64>, _ object: MappedObject, _ other: MappedObject, from start: UInt64
    ) -> PeerMRError {
        // Of one name, and not the same: a device that was there before has its memory no longer.
        let second = object == other ? "another \(other)" : "\(other)"
        return PeerMRError(
            .invalidArgument,
            reason:
                "the \(range.count) bytes from \(hexadecimal(range.lowerBound)) on begin in \(object) and go on in "
                + "\(second), from \(hexadecimal(start)) on",
            remedy: "register each by itself")
    }

    static func disorderlyRange(_ range: Range<UInt64>, _ object: MappedObject, from start: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason:
                "the \(range.count) bytes from \(hexadecimal(range.lowerBound)) on are parts of \(object) that do not "
                + "follow each other in it: it breaks off at \(hexadecimal(start))",
            remedy: "register each part by itself, or map the buffer in one piece")
    }

    static func poolGone(_ provider: PCIAddress) -> PeerMRError {
        PeerMRError(
            .memoryRevoked,
            reason: "the p2pmem of \(provider) that is mapped there is gone: the device or its driver was "
                + "removed since",
            remedy: "unmap it; map anew when the device is back")
    }

    /// Before Linux 5.3 all dma-bufs had one number; registration of dma-bufs came with 5.12.
    static func namelessBuffer(_ address: UInt64) -> PeerMRError {
        PeerMRError(
            .notSupported, reason: "this kernel does not tell which dma-buf is mapped at \(hexadecimal(address))",
            remedy: "use Linux 5.12 or newer, which RDMA on dma-bufs needs too")
    }

    static func privateMapping(_ range: MappedRange) -> PeerMRError {
        PeerMRError(
            .notSupported,
            reason:
                "\(range.object) is mapped privately at \(hexadecimal(range.address)): what the CPU writes there stays "
                + "in a copy that no device sees",
            remedy: "map it with MAP_SHARED")
    }

    static func readOnlyMapping(_ range: MappedRange) -> PeerMRError {
        PeerMRError(
            .notPermitted,
            reason:
                "\(range.object) is mapped for reading only at \(hexadecimal(range.address)), and devices were to write",
            remedy: "map it with PROT_WRITE, or register it without write access")
    }

    static func descriptorClosed(_ range: MappedRange) -> PeerMRError {
        PeerMRError(
            .notFound,
            reason:
                "\(range.object) is mapped at \(hexadecimal(range.address)), and this process has no descriptor of it "
                + "open any more, by which alone it can be registered",
            remedy: "keep the descriptor open until the memory is registered; the mapping does not need it, the "
                + "registration does")
    }

    static func implausibleOffset(
        _ range: MappedRange, _ offset: UInt64, _ exporter: String, _ whole: UInt64
    ) -> PeerMRError {
        PeerMRError(
            .notSupported,
            reason:
                "where in its dma-buf of \(whole) bytes \(exporter) has mapped \(hexadecimal(range.address)) cannot be "
                + "told: the kernel shows offset \(hexadecimal(offset)), which is no place in it",
            remedy: "register by descriptor, offset and length")
    }

    private static func hexadecimal(_ value: UInt64) -> String { "0x\(String(value, radix: 16))" }
}
