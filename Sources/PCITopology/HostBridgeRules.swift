// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// What one kernel does at the root complex: its list of host bridges, its rule for processors, and the device that it
/// knows a host bridge by.
///
/// Type information (BTF) tells the rows of the list, whatever the version says. Without it the version is asked: of a
/// plain upstream kernel and Debian's what is in the sources, of any other one only that it has what its version had.
struct HostBridgeRules: Hashable, Sendable {
    /// The kernel; nil where its release cannot be read.
    let kernel: KernelIdentity?
    /// The list that the kernel's type information shows; nil where it shows none.
    let layout: HostBridgeList.Layout?
    /// The rows of a layout that was seen.
    private let known: HostBridgeList.KnownLayout?

    init(kernel: KernelIdentity?, layout: HostBridgeList.Layout?) {
        self.kernel = kernel?.origin == .emulated ? nil : kernel
        self.layout = layout
        known = HostBridgeList.layouts.first { found in
            guard found.layout == layout else { return false }
            guard HostBridgeList.formerLayouts.contains(found.layout) else { return true }
            return kernel.map { $0.release >= found.since } ?? false
        }
    }

    /// Whether something came with a release: true and false are certain.
    private func has(since: KernelRelease) -> Bool? {
        guard let kernel else { return nil }
        if kernel.release > since || kernel.release == since && !kernel.isCandidate { return true }
        if kernel.release == since || kernel.origin == .vendor { return nil }
        return false
    }

    // MARK: Evidence of more than the list

    /// A list of this kind is that of 7.1 or newer, or of a branch with code of 6.19: all older rules hold.
    private var isModern: Bool { known.map { $0.layout.entryBytes == 12 || $0.rows.count > 10 } ?? false }

    /// Whether the kernel has a list at all, in which it looks requests up that ACS redirects (5.4). Before, they were
    /// refused.
    var hasList: Bool? { known != nil ? true : has(since: KernelRelease(5, 4)) }

    /// Whether it has the rule before the list: the host bridge of the first Zen, where there is no IOMMU (5.2).
    var allowsFirstZen: Bool { has(since: KernelRelease(5, 2)) != false }

    /// Whether processors count: AMD from Zen on. The rows of AMD's host bridges went as the rule came (5.9).
    var asksProcessor: Bool? { known != nil ? true : has(since: KernelRelease(5, 9)) }

    /// Whether the kernel takes the first device of a bus's list (5.14), rather than the one at 00.0.
    var takesFirstDevice: Bool? { isModern ? true : has(since: KernelRelease(5, 14)) }

    /// Whether the first device may be a root port, too (5.19; el9 with 9.2).
    var takesRootPorts: Bool? {
        if isModern { return true }
        return enterprise9(from: 284) ?? has(since: KernelRelease(5, 19))
    }

    /// Whether the list may have rows that this does not know.
    var mayHaveOtherRows: Bool {
        if known != nil { return false }
        if let layout {
            let isFormer = kernel.map { $0.release < KernelRelease(5, 9) } ?? false
            return !isFormer || !HostBridgeList.formerLayouts.contains(layout)
        }
        return isNewerThanRead
    }

    /// Whether it may be newer than all kernels that were read, and have rules that they have not.
    var isNewerThanRead: Bool { kernel.map { $0.release > HostBridgeList.newestRead } ?? true }

    /// Of el9's own kernel, whether its build is that one or newer; nil for any other kernel.
    private func enterprise9(from build: Int) -> Bool? {
        guard let kernel, kernel.enterprise == 9, kernel.release == KernelRelease(5, 14), let own = kernel.build
        else { return nil }
        return own >= build
    }
}

// MARK: - The list

extension HostBridgeRules {
    /// What the list says of a device.
    enum Listing: Hashable {
        case listed(sameBridgeOnly: Bool)
        case notListed
        case unknown
    }

    /// Looks a device up.
    ///
    /// - Returns: what is said, and by what, for a sentence.
    func look(up vendor: UInt16, _ device: UInt16) -> (listing: Listing, source: String) {
        let row = HostBridgeList.all.first { $0.matches(vendor, device) }
        if let known {
            let found = known.rows.first { $0.matches(vendor, device) }
            let source = "by its type information, \(known.rows.count) rows"
            return (found.map { .listed(sameBridgeOnly: $0.sameBridgeOnly) } ?? .notListed, source)
        }
        guard let row else {
            if !mayHaveOtherRows { return (.notListed, "as of Linux \(HostBridgeList.newestRead)") }
            return (.unknown, "it may have rows that Linux \(HostBridgeList.newestRead) has not; \(evidence)")
        }
        switch has(row) {
        case true?: return (.listed(sameBridgeOnly: row.sameBridgeOnly), "since Linux \(row.since)")
        case false? where layout != nil && mayHaveOtherRows:
            return (.unknown, "by its type information it has other rows than any that was read")
        case false?: return (.notListed, row.until.map { "since Linux \($0), when it went" } ?? "before \(name(row))")
        case nil: return (.unknown, uncertainty(row))
        }
    }

    private func name(_ row: HostBridgeList.Row) -> String {
        "Linux \(row.since)" + (row.isProvisional ? ", for which it is queued" : "")
    }

    private var evidence: String {
        layout == nil
            ? "only its type information tells (/sys/kernel/btf/vmlinux)" : "its type information does not tell"
    }

    private func uncertainty(_ row: HostBridgeList.Row) -> String {
        let came = row.isProvisional ? "it is queued for Linux \(row.since)" : "it came with Linux \(row.since)"
        guard let kernel else { return "\(came), and the kernel's version is not known" }
        if kernel.origin == .vendor, kernel.release < row.since {
            return "\(came), and whether this vendor's \(kernel) took it over, \(evidence)"
        }
        return "\(came), and whether \(kernel) has it, \(evidence)"
    }

    /// Whether the kernel has a row, by its version; nil where that is not known.
    private func has(_ row: HostBridgeList.Row) -> Bool? {
        guard let kernel else { return nil }
        if let until = row.until, kernel.release > until { return kernel.origin == .vendor ? nil : false }
        // Before the list, AMD's host bridge counted only without an IOMMU.
        if kernel.release < KernelRelease(5, 4), kernel.release >= row.since { return nil }
        if row.since == KernelRelease(5, 18), let own = enterprise9(from: 162) { return own }
        let came = has(since: row.since)
        if row.isProvisional, came == true { return nil }
        if came != false { return came }
        if let backport = row.backports.first(where: { $0.release == kernel.release }) {
            // Where the patch level is not told, it may be any.
            return kernel.patch.map { $0 >= backport.patch }
        }
        guard let patch = kernel.patch else { return nil }
        let read = HostBridgeList.readings.first { $0.release == kernel.release }?.patch ?? 0
        return patch <= read ? false : nil
    }
}
