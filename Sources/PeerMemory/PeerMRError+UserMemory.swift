// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let userMemoryErrors = ErrorSection(
        "Memory that the application has mapped",
        [
            deviceObject, mappingLostIn, noMemoryMap, emptyRange, rangeWraps, hole, mixed, disorderly, poolGone,
            replaced, namelessBuffer, privateMapping, readOnlyMapping, descriptorClosed, implausibleOffset,
        ])
}

// The range.
extension PeerMRError {
    static let noMemoryMap = ErrorTable {
        ErrorRow(.system, "the mappings of this process cannot be read from /proc/self/maps")
            .with(remedy: "mount /proc: containers and chroots may lack it")
    }
    static let emptyRange = ErrorTable(facts: .hexadecimal("address")) { address in
        ErrorRow(.invalidArgument, "0 bytes at \(address) were to be registered", "name at least one byte")
    }
    static let rangeWraps = ErrorTable(facts: .hexadecimal("address"), "byte count") { address, size in
        ErrorRow(.invalidArgument, "\(size) bytes from \(address) on reach beyond the end of the address space")
            .with(remedy: "compare address and length with what mmap returned and was asked for")
    }
    static let hole = ErrorTable(
        facts: .hexadecimal("hole"), "byte count", .hexadecimal("address")
    ) { hole, size, address in
        ErrorRow(.invalidArgument, "nothing is mapped at \(hole), which is among the \(size) bytes from \(address) on")
            .with(remedy: "map memory there first, and keep it mapped as long as it is registered")
    }

    static func nothingMapped(_ range: Range<UInt64>, at place: UInt64) -> PeerMRError {
        hole(place, range.count, range.lowerBound)
    }

    static let mixed = ErrorTable(
        facts: "byte count", .hexadecimal("address"), "object", "other", .hexadecimal("start")
    ) { size, address, object, other, start in
        ErrorRow(
            .invalidArgument,
            "the \(size) bytes from \(address) on begin in \(object) and go on in \(other), from \(start) on",
            "register each by itself")
    }

    static let replaced = ErrorTable(
        facts: .hexadecimal("address"), "object", "other"
    ) { address, object, other in
        ErrorRow(.memoryRevoked, "\(object) was mapped at \(address), and now \(other) is")
            .with(remedy: "keep memory mapped as long as it is registered")
    }

    static func replacedRange(_ address: UInt64, _ object: MappedObject, _ other: MappedObject) -> PeerMRError {
        replaced(address, object, object == other ? "another \(other)" : "\(other)")
    }

    static func mixedRange(
        _ range: Range<UInt64>, _ object: MappedObject, _ other: MappedObject, from start: UInt64
    ) -> PeerMRError {
        // Of one name, and not the same: a device that was there before has its memory no longer.
        mixed(range.count, range.lowerBound, object, object == other ? "another \(other)" : "\(other)", start)
    }

    static let disorderly = ErrorTable(
        facts: "byte count", .hexadecimal("address"), "object", .hexadecimal("start")
    ) { size, address, object, start in
        ErrorRow(
            .invalidArgument,
            "the \(size) bytes from \(address) on are parts of \(object) that are not contiguous in it: it breaks off "
                + "at \(start)",
            "register each part by itself, or map the buffer in one piece")
    }

    static func disorderlyRange(_ range: Range<UInt64>, _ object: MappedObject, from start: UInt64) -> PeerMRError {
        disorderly(range.count, range.lowerBound, object, start)
    }
}

// What is mapped there.
extension PeerMRError {
    /// A driver's own mapping: it has no pages that could be pinned (VM_PFNMAP, mm/gup.c).
    static let deviceObject = ErrorTable("ibv_reg_mr", facts: "object") { object in
        ErrorRow(
            .notSupported, "\(object) cannot be registered by its address: it is a device's, and has no pages to pin",
            "have the device's driver export it as a dma-buf and register that: for a BAR bind the function to "
                + "vfio-pci (Linux 6.19 or newer); GPUs' libraries have a call for theirs")
    }

    static func deviceMapping(_ error: PeerMRError, _ path: String) -> PeerMRError {
        error.code == .notSupported ? deviceObject(of: error, MappedObject.device(path: path)) : error
    }

    /// The kernel could not copy from or to a mapping.
    static let mappingLostIn = ErrorTable("copy", facts: .optional(" of ", "provider")) { provider in
        ErrorRow([.badAddress], .memoryRevoked, "the memory\(provider) is gone: it was removed, or lost its driver")
            .with(remedy: "release this memory, and allocate anew when the device is back")
        ErrorRow(
            .system, "the memory\(provider) cannot be copied", "free memory: the copy goes through a file in memory")
    }

    static func mappingLost(_ errno: Errno, _ provider: PCIAddress?) -> PeerMRError { mappingLostIn(errno, provider) }

    static let poolGone = ErrorTable(facts: "provider") { provider in
        ErrorRow(
            .memoryRevoked,
            "the p2pmem of \(provider) that is mapped there is gone: the device or its driver was removed since",
            "unmap it; map anew when the device is back")
    }

    /// Before Linux 5.3 all dma-bufs had one number; registration of dma-bufs came with 5.12.
    static let namelessBuffer = ErrorTable(facts: .hexadecimal("address")) { address in
        ErrorRow(.notSupported, "this kernel does not report which dma-buf is mapped at \(address)")
            .with(remedy: "use Linux 5.12 or newer, which RDMA on dma-bufs needs too")
    }

    static let privateMapping = ErrorTable(facts: "object", .hexadecimal("address")) { object, address in
        ErrorRow(
            .notSupported,
            "\(object) is mapped privately at \(address): what the CPU writes there stays in a copy that no device "
                + "sees",
            "map it with MAP_SHARED")
    }
    static let readOnlyMapping = ErrorTable(facts: "object", .hexadecimal("address")) { object, address in
        ErrorRow(.notPermitted, "\(object) is mapped for reading only at \(address), and devices were to write")
            .with(remedy: "map it with PROT_WRITE, or register it without write access")
    }
    static let descriptorClosed = ErrorTable(facts: "object", .hexadecimal("address")) { object, address in
        ErrorRow(
            .notFound,
            "\(object) is mapped at \(address), and this process has no descriptor of it open any more, by which alone "
                + "it can be registered",
            "keep the descriptor open until the memory is registered; the mapping does not need it, the registration "
                + "does")
    }
    static let implausibleOffset = ErrorTable(
        facts: .hexadecimal("address"), .hexadecimal("offset"), "exporter", "size"
    ) { address, offset, exporter, whole in
        ErrorRow(
            .notSupported,
            "the place in its dma-buf of \(whole) bytes that \(exporter) has mapped at \(address) is unknown: the "
                + "kernel shows offset \(offset), which is outside it",
            "register by descriptor, offset and length")
    }
}
