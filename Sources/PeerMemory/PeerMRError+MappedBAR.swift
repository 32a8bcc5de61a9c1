// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let mappedBARErrors = ErrorSection(
        "BARs that the application has mapped through vfio",
        [severalMappings, otherRegion, functionUnknown, allClosed, noneReaches, ambiguous])
}

extension PeerMRError {
    static let severalMappings = ErrorTable(
        facts: "byte count", .hexadecimal("address"), .hexadecimal("start")
    ) { size, address, start in
        ErrorRow(
            .invalidArgument,
            "the \(size) bytes from \(address) on are several mappings of vfio's, the second from \(start) on, and "
                + "nothing shows that they are of one device",
            "register each mapping by itself")
    }

    static let otherRegion = ErrorTable(facts: .hexadecimal("address"), "region") { address, region in
        ErrorRow(
            .notSupported,
            "what is mapped at \(address) is region \(region) of a vfio device, and only BARs, 0 to 5, can be exported",
            "register memory of a BAR")
    }

    static func regionWithoutExport(_ address: UInt64, _ region: UInt64) -> PeerMRError { otherRegion(address, region) }

    /// See: drivers/vfio/vfio_main.c, vfio_device_show_fdinfo
    static let functionUnknown = ErrorTable(facts: "descriptor", .hexadecimal("address")) { descriptor, address in
        ErrorRow(
            .notSupported,
            "a BAR is mapped at \(address), and this kernel does not report which function descriptor \(descriptor) "
                + "is of (vfio-device-syspath)",
            "use Linux 6.19 or newer with /proc mounted, which export needs too; or register the BAR by a dma-buf's "
                + "descriptor")
    }

    static let allClosed = ErrorTable(facts: "BAR", .hexadecimal("address")) { bar, address in
        ErrorRow(
            .notFound,
            "BAR \(bar) of a vfio device is mapped at \(address), and this process has no descriptor of the device "
                + "open any more, by which alone it can be exported",
            "keep the device's descriptor open as long as its memory is registered")
    }
    static let noneReaches = ErrorTable(
        facts: "BAR", .hexadecimal("address"), .list("functions")
    ) { bar, address, open in
        ErrorRow(
            .notFound,
            "BAR \(bar) of a vfio device is mapped at \(address), which is none of the devices whose descriptors this "
                + "process has open (\(open)), or not of the one that was named",
            "keep the device's descriptor open as long as its memory is registered")
    }

    static func deviceClosed(_ address: UInt64, _ bar: Int, _ open: [PCIAddress]) -> PeerMRError {
        open.isEmpty ? allClosed(bar, address) : noneReaches(bar, address, open.map { "\($0)" })
    }

    static let ambiguous = ErrorTable(
        facts: "BAR", .hexadecimal("address"), .list("functions")
    ) { bar, address, several in
        ErrorRow(
            .notSupported,
            "BAR \(bar) of a vfio device is mapped at \(address), and may be that of each of \(several), whose "
                + "mappings the kernel does not tell apart",
            "name the function as the memory's provider; or export the BAR by the device's descriptor "
                + "(VFIO_DEVICE_FEATURE_DMA_BUF) and register the dma-buf")
    }

    static func severalBARs(_ address: UInt64, _ bar: Int, _ functions: [PCIAddress]) -> PeerMRError {
        ambiguous(bar, address, functions.map { "\($0)" })
    }
}
