// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

/// The host bridges through which the kernel allows peer-to-peer DMA, with the releases that have them.
///
/// Data, taken from drivers/pci/p2pdma.c (`pci_p2pdma_whitelist`) of the kernels in ``readings``, and from the pull
/// requests that brought the older rows. `HostBridgeRules` says what follows for a kernel.
public enum HostBridgeList {
    /// One row: the first device of a root bus, as the kernel looks it up.
    public struct Row: Hashable, Sendable {
        /// The vendor's number.
        public let vendor: UInt16
        /// The device's number; nil for any of the vendor's.
        public let device: UInt16?
        /// Only between functions under this one host bridge, not between two of the list.
        public let sameBridgeOnly: Bool
        /// The first release with it.
        public let since: KernelRelease
        /// The last release with it; nil where it is there still.
        public let until: KernelRelease?
        /// The first stable releases that have it too, by their version.
        public let backports: [Backport]
        /// Whether it is in the queue of a release that is not out yet, and may still change.
        public let isProvisional: Bool
    }

    /// A stable release.
    public struct Backport: Hashable, Sendable {
        /// Its version.
        public let release: KernelRelease
        /// Its patch level.
        public let patch: Int
    }

    private static func rows(
        _ vendor: UInt16, _ devices: [UInt16?], since: (Int, Int), until: (Int, Int)? = nil,
        sameBridgeOnly: Bool = false, backports: [Backport] = [], isProvisional: Bool = false
    ) -> [Row] {
        devices.map {
            Row(
                vendor: vendor, device: $0, sameBridgeOnly: sameBridgeOnly,
                since: KernelRelease(since.0, since.1), until: until.map { KernelRelease($0.0, $0.1) },
                backports: backports, isProvisional: isProvisional)
        }
    }

    /// The rows that were on the list before the rule for AMD's processors took their place (5.9).
    public static let formerRows: [Row] =
        rows(0x1022, [0x1450], since: (5, 2), until: (5, 8))
        + rows(0x1022, [0x15d0, 0x1630], since: (5, 8), until: (5, 8))

    /// Xeon E5 and E7 of the first three generations.
    public static let xeonRows: [Row] = rows(
        0x8086, [0x3c00, 0x3c01, 0x2f00, 0x2f01], since: (5, 4), sameBridgeOnly: true)
    /// Xeon Scalable.
    public static let scalableRows: [Row] =
        rows(0x8086, [0x2030, 0x2020], since: (5, 6)) + rows(0x8086, [0x2031, 0x2032, 0x2033], since: (5, 7))
    /// Xeon Scalable from the third generation on.
    public static let iceLakeRows: [Row] = rows(0x8086, [0x09a2], since: (5, 18))
    /// Accelerators that are the first device of their bus.
    public static let acceleratorRows: [Row] = rows(
        0x8086, [0x0b25, 0x0cfe, 0x11fb, 0x1212, 0x1216, 0x4940, 0x4942, 0x4944, 0x4946, 0x4948], since: (7, 2),
        backports: [Backport(release: KernelRelease(7, 1), patch: 3)])
    /// Google's, any device.
    public static let googleRows: [Row] = rows(0x1ae0, [nil], since: (7, 1))
    /// Vera Rubin.
    public static let nvidiaRows: [Row] = rows(0x10de, [0x2f95, 0x2f96, 0x2f97, 0x2f98], since: (7, 3))
    /// What was queued for 7.4 when 7.3 was the newest: Zhaoxin, Yitian 710, Xeon of the fourth generation, Haswell.
    public static let queuedRows: [Row] =
        rows(
            0x1d17, [0x1003, 0x1005, 0x1006, 0x1007], since: (7, 4), sameBridgeOnly: true, isProvisional: true)
        + rows(0x1d17, [0x1008], since: (7, 4), isProvisional: true)
        + rows(0x1ded, [0x8000], since: (7, 4), isProvisional: true)
        + rows(0x8086, [0x6f00, 0x0c08], since: (7, 4), sameBridgeOnly: true, isProvisional: true)

    /// All rows.
    public static let all: [Row] =
        formerRows + xeonRows + scalableRows + iceLakeRows + acceleratorRows + googleRows + nvidiaRows + queuedRows

    /// The newest release whose list was read in full.
    public static let newestRead = KernelRelease(7, 3)

    /// Stable releases whose list was read in full, in the binary or in the source: what is not on it then was in none
    /// before it of that version.
    public static let readings: [KernelIdentity] = [
        (6, 12, 117), (7, 0, 13), (7, 1, 13), (7, 2, 13), (7, 3, 4),
    ].map { KernelIdentity(KernelRelease($0.0, $0.1), patch: $0.2) }

    // MARK: What type information tells

    /// A list as type information (BTF) shows it: the size of a row, and how many there are, the zeros at the end
    /// included.
    public struct Layout: Hashable, Sendable {
        /// The bytes of `struct pci_p2pdma_whitelist_entry`: 8, and 12 since a row may stand for all of a vendor's
        /// devices.
        public let entryBytes: Int
        /// The elements of `pci_p2pdma_whitelist`.
        public let count: Int

        /// A layout given by its numbers.
        public init(entryBytes: Int, count: Int) {
            self.entryBytes = entryBytes
            self.count = count
        }
    }

    /// A layout that was seen, and its rows.
    public struct KnownLayout: Hashable, Sendable {
        /// The layout.
        public let layout: Layout
        /// The rows that it has.
        public let rows: [Row]
        /// The first release where it means this; an older one had other rows in as many.
        public let since: KernelRelease
    }

    private static let baseRows = xeonRows + scalableRows + iceLakeRows

    private static func known(_ bytes: Int, _ rows: [Row]) -> KnownLayout {
        KnownLayout(
            layout: Layout(entryBytes: bytes, count: rows.count + 1), rows: rows, since: KernelRelease(5, 9))
    }

    /// The layouts that were seen: 5.9 and el9_0, 5.18 and el9_1, a branch of el10, 7.1, 7.1.3 and 7.2, 7.3.
    public static let layouts: [KnownLayout] = [
        known(8, xeonRows + scalableRows), known(8, baseRows), known(8, baseRows + acceleratorRows),
        known(12, baseRows + googleRows), known(12, baseRows + acceleratorRows + googleRows),
        known(12, baseRows + acceleratorRows + googleRows + nvidiaRows),
    ]

    /// The layouts of 5.4, 5.6, 5.7 and 5.8, by their rows. One has as many elements as a later one: only together with
    /// the version do they tell.
    static let formerLayouts: [Layout] = [6, 8, 11, 13].map { Layout(entryBytes: 8, count: $0) }
}

extension HostBridgeList.Row {
    /// Whether a device is this row's.
    func matches(_ vendor: UInt16, _ device: UInt16) -> Bool {
        self.vendor == vendor && (self.device == nil || self.device == device)
    }
}
