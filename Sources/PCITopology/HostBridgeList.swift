// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

/// The host bridges and CPUs through which the kernel allows peer-to-peer DMA.
///
/// Data, taken from drivers/pci/p2pdma.c (`pci_p2pdma_whitelist`, `cpu_supports_p2pdma`) of Linux 6.1, 6.12, 7.2 and
/// 7.3. What differs between versions is a row with the last version that was seen without it and the first that was
/// seen with it; on a kernel in between the row counts as unknown.
public enum HostBridgeList {
    /// One row: the first device of a root bus, as the kernel looks it up.
    public struct Row: Hashable, Sendable {
        /// The vendor's number.
        public let vendor: UInt16
        /// The device's number; nil for any of the vendor's.
        public let device: UInt16?
        /// Only between functions under this one host bridge, not between two of the list.
        public let sameBridgeOnly: Bool
        /// The last kernel seen without it; nil where all that were read have it.
        public let absentUntil: KernelRelease?
        /// The first kernel seen with it.
        public let presentFrom: KernelRelease
    }

    private static func rows(
        _ vendor: UInt16, _ devices: [UInt16], sameBridgeOnly: Bool = false,
        absentUntil: KernelRelease? = nil, presentFrom: KernelRelease = KernelRelease(6, 1)
    ) -> [Row] {
        devices.map {
            Row(
                vendor: vendor, device: $0, sameBridgeOnly: sameBridgeOnly,
                absentUntil: absentUntil, presentFrom: presentFrom)
        }
    }

    /// The rows.
    public static let all: [Row] =
        rows(0x8086, [0x3c00, 0x3c01, 0x2f00, 0x2f01], sameBridgeOnly: true)
        + rows(0x8086, [0x2030, 0x2031, 0x2032, 0x2033, 0x2020, 0x09a2])
        + rows(
            0x8086,
            [0x0b25, 0x0cfe, 0x11fb, 0x1212, 0x1216, 0x4940, 0x4942, 0x4944, 0x4946, 0x4948],
            absentUntil: KernelRelease(6, 12), presentFrom: KernelRelease(7, 2))
        + [
            Row(
                vendor: 0x1ae0, device: nil, sameBridgeOnly: false,
                absentUntil: KernelRelease(6, 12), presentFrom: KernelRelease(7, 2))
        ]
        + rows(
            0x10de, [0x2f95, 0x2f96, 0x2f97, 0x2f98], absentUntil: KernelRelease(7, 2),
            presentFrom: KernelRelease(7, 3))

    /// What a kernel thinks of a host bridge by the first device of its bus.
    ///
    /// - Returns: the row that applies, nil for none; `isCertain` is false where the kernel lies between versions that
    ///   differ, or is not known.
    public static func lookUp(
        vendor: UInt16, device: UInt16, kernel: KernelRelease?
    ) -> (row: Row?, isCertain: Bool) {
        guard
            let row = all.first(where: {
                $0.vendor == vendor && ($0.device == nil || $0.device == device)
            })
        else { return (nil, true) }
        guard let absent = row.absentUntil else { return (row, true) }
        guard let kernel else { return (row, false) }
        if kernel <= absent { return (nil, true) }
        return (row, kernel >= row.presentFrom)
    }
}
