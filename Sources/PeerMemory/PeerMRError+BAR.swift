// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let barsErrors = ErrorSection(
        "BARs of vfio-pci as dma-bufs",
        [
            impossibleBAR, otherBARs, noMemoryBAR, portBAR, smallBAR, outsideBAR, emptyBARPart, unalignedRange,
            noExport, export, regionBytes,
        ])
}

extension PeerMRError {
    static let impossibleBAR = ErrorTable(facts: "address", "BAR", .list("BARs")) { address, bar, present in
        ErrorRow(.invalidArgument, "\(address) has no BAR \(bar): BARs are 0 to 5", "its BARs of memory are \(present)")
    }
    static let otherBARs = ErrorTable(facts: "address", "BAR", .list("BARs")) { address, bar, present in
        ErrorRow(.notFound, "\(address) has no BAR \(bar)", "its BARs of memory are \(present)")
    }
    static let noMemoryBAR = ErrorTable(facts: "address", "BAR") { address, bar in
        ErrorRow(.notFound, "\(address) has no BAR \(bar)", "it has no BAR of memory at all (lspci -vs \(address))")
    }

    static func noSuchBAR(_ address: PCIAddress, _ bar: Int, present: [Int]) -> PeerMRError {
        let names = present.map { "\($0)" }
        guard (0...5).contains(bar) else { return impossibleBAR(address, bar, names.isEmpty ? ["none"] : names) }
        return names.isEmpty ? noMemoryBAR(address, bar) : otherBARs(address, bar, names)
    }

    static let portBAR = ErrorTable(facts: "address", "BAR") { address, bar in
        ErrorRow(.invalidArgument, "BAR \(bar) of \(address) is I/O ports, which no device can access by DMA")
            .with(remedy: "name a BAR of memory (lspci -vs \(address))")
    }
    static let smallBAR = ErrorTable(facts: "address", "BAR", "byte count") { address, bar, size in
        ErrorRow(
            .notSupported,
            "BAR \(bar) of \(address) has \(size) bytes, less than a page: the kernel exports whole pages",
            "name a larger BAR (lspci -vs \(address))")
    }
    static let outsideBAR = ErrorTable(
        facts: "address", "BAR", "size", "offset", "byte count"
    ) { address, bar, whole, offset, size in
        ErrorRow(
            .invalidArgument,
            "\(size) bytes at offset \(offset) are not inside BAR \(bar) of \(address), which has \(whole) bytes",
            "name a part that is, of at least one byte")
    }
    static let emptyBARPart = ErrorTable(facts: "address", "BAR") { address, bar in
        ErrorRow(.invalidArgument, "a part of 0 bytes was asked for, of BAR \(bar) of \(address)")
            .with(remedy: "name a part of at least one byte")
    }

    static func partOfBAR(
        _ address: PCIAddress, _ bar: Int, _ whole: UInt64, _ offset: UInt64, _ byteCount: UInt64
    ) -> PeerMRError {
        byteCount == 0 ? emptyBARPart(address, bar) : outsideBAR(address, bar, whole, offset, byteCount)
    }

    static let unalignedRange = ErrorTable(
        facts: "address", "BAR", "offset", "byte count", "page size"
    ) { address, bar, offset, size, page in
        ErrorRow(.invalidArgument, "\(size) bytes at offset \(offset) are not whole pages of BAR \(bar) of \(address)")
            .with(remedy: "take multiples of \(page) bytes, and register a part of what is exported")
    }

    static func unalignedRange(
        _ address: PCIAddress, _ bar: Int, _ offset: UInt64, _ byteCount: UInt64
    ) -> PeerMRError { unalignedRange(address, bar, offset, byteCount, pageBytes) }

    /// See: drivers/vfio/pci/vfio_pci_core.c, vfio_pci_core_ioctl_feature
    static let noExport = ErrorTable("VFIO_DEVICE_FEATURE", facts: "address") { address in
        ErrorRow(
            [.operationNotSupportedByDevice], .memoryRevoked,
            "this kernel does not export BARs of \(address) as dma-bufs",
            "use Linux 6.19 or newer with CONFIG_VFIO_PCI_DMABUF, which needs CONFIG_PCI_P2PDMA")
        ErrorRow(.notSupported, "this kernel does not export BARs of \(address) as dma-bufs")
            .with(remedy: "use Linux 6.19 or newer with CONFIG_VFIO_PCI_DMABUF, which needs CONFIG_PCI_P2PDMA")
    }

    /// See: drivers/vfio/pci/vfio_pci_dmabuf.c, vfio_pci_core_feature_dma_buf
    static let export = ErrorTable("VFIO_DEVICE_FEATURE_DMA_BUF", facts: "address", "BAR") { address, bar in
        ErrorRow([.operationNotSupportedByDevice], .memoryRevoked, "BAR \(bar) of \(address) cannot be exported")
            .with(remedy: "the function is gone, or the BAR no longer exists")
        ErrorRow([.noMemory], .resourceLimit, "BAR \(bar) of \(address) cannot be exported")
            .with(remedy: "free memory, or export fewer parts")
        ErrorRow(
            [.tooManyOpenFiles, .tooManyOpenFilesInSystem], .resourceLimit,
            "BAR \(bar) of \(address) cannot be exported", "close descriptors, or raise the limit (ulimit -n)")
        ErrorRow(.system, "BAR \(bar) of \(address) cannot be exported", "see the kernel log (dmesg)")
    }

    /// See: drivers/vfio/pci/vfio_pci_rdwr.c, vfio_pci_bar_rw
    static let regionBytes = ErrorTable("pread", "pwrite", facts: "address", "BAR") { address, bar in
        ErrorRow(
            [.ioError, .operationNotSupportedByDevice], .memoryRevoked,
            "the memory of BAR \(bar) of \(address) is gone",
            "the function was removed, powered down or had its memory switched off: open it and export it anew")
        ErrorRow(.system, "BAR \(bar) of \(address) cannot be accessed", "see the kernel log (dmesg)")
    }
}
