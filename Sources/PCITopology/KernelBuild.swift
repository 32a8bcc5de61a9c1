// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import PeerMRCore

/// Whether the kernel was built with peer-to-peer DMA (CONFIG_PCI_P2PDMA), and what told so.
///
/// Some distributions leave it out: Debian's 6.12 has none, its 7.3 has. What proves it is the function that decides,
/// wherever it is named, or memory that is published; the configuration is believed unless the running kernel says
/// otherwise. That it is missing is believed of the configuration, or of two other sources that agree: a function may
/// be missing from the type information alone.
struct KernelBuild: Hashable, Sendable {
    /// Nil where nothing tells, or what does is contradicted.
    let hasPeerToPeer: Bool?
    /// What told, for a sentence.
    let source: String

    private init(_ hasPeerToPeer: Bool?, _ source: String) {
        self.hasPeerToPeer = hasPeerToPeer
        self.source = source
    }

    /// - Parameters:
    ///   - evidence: what the type information tells, where there is any.
    ///   - publishesMemory: whether a function has a p2pmem folder, which no other kernel makes; asked where nothing
    ///     else says yes.
    init(
        root: SystemRoot, kernel: KernelIdentity?, evidence: KernelEvidence?, publishesMemory: () -> Bool = { false }
    ) {
        self.init(root, kernel, Self.configured(root), evidence?.hasDecision)
        if hasPeerToPeer != true, publishesMemory() { self.init(true, "a device publishes p2pmem") }
    }

    private init(_ root: SystemRoot, _ kernel: KernelIdentity?, _ configured: Bool?, _ typed: Bool?) {
        let named = Self.mustAskSymbols(configured, typed) ? Self.named(root) : nil
        switch (configured, typed) {
        case (true?, _) where typed != false: self.init(true, "by its configuration")
        case (nil, true?): self.init(true, "by its type information")
        case (false?, _) where typed != true: self.init(false, "by its configuration")
        case (_?, _):
            self =
                named == true
                ? Self(true, "by its symbols")
                : Self(nil, "its configuration and its type information contradict each other")
        case (nil, _):
            if named == true {
                self.init(true, "by its symbols")
            } else if named == false, typed == false {
                self.init(false, "by its type information and its symbols")
            } else if let kernel, kernel.origin != .emulated, kernel.release < Self.first {
                self.init(false, "which came with Linux \(Self.first)")
            } else {
                self.init(nil, "neither its configuration nor its type information nor its symbols tell")
            }
        }
    }

    /// Whether the list of symbols has to be asked, too.
    private static func mustAskSymbols(_ configured: Bool?, _ typed: Bool?) -> Bool {
        configured == nil && typed != true || configured == true && typed == false
    }

    private static let option = "CONFIG_PCI_P2PDMA"
    /// The first release that has p2pdma.
    private static let first = KernelRelease(4, 20)
    private static let limit = 64 << 20
}

// MARK: - The configuration

extension KernelBuild {
    /// Where a distribution may keep the configuration of a kernel, and where a capture keeps its one line.
    static func configuration(of release: String) -> String { "lib/modules/\(release)/config" }

    /// The line of the configuration that tells.
    static func line(hasPeerToPeer: Bool) -> String {
        hasPeerToPeer ? "\(option)=y\n" : "# \(option) is not set\n"
    }

    /// What the configuration says, where the distribution keeps it.
    static func configured(_ root: SystemRoot) -> Bool? {
        guard let release = root.attribute("proc/sys/kernel/osrelease"), !release.utf8.contains(0x2f), release != ".."
        else { return nil }
        for file in [configuration(of: release), "usr/lib/modules/\(release)/config", "boot/config-\(release)"] {
            guard let bytes = root.contents(file, limit: limit) else { continue }
            // A line that is cut off is another one.
            let isSet = holds([0x0a] + bytes, "\n" + line(hasPeerToPeer: true))
            let isUnset = holds([0x0a] + bytes, "\n" + line(hasPeerToPeer: false))
            if isSet != isUnset { return isSet }
        }
        return nil
    }
}

// MARK: - The symbols

extension KernelBuild {
    /// What a capture keeps of the list of symbols.
    static let capturedSymbols = "peermr/kernel-symbols"

    /// What a capture keeps of the list of symbols; nil where it is not asked, or cannot be.
    static func symbolText(_ root: SystemRoot, _ evidence: KernelEvidence?) -> String? {
        guard mustAskSymbols(configured(root), evidence?.hasDecision) else { return nil }
        return named(root).map { $0 ? "yes" : "no" }
    }

    /// Whether the kernel's list of symbols names the function; nil where it cannot be read, or may be cut off.
    ///
    /// It is put together anew for each reader, which takes some 50 ms: it is the last to be asked. Symbols stand in
    /// the order of their addresses, so that one that is missing stands before the end of the code.
    static func named(_ root: SystemRoot) -> Bool? {
        if let known = root.attribute(capturedSymbols) { return known == "yes" ? true : known == "no" ? false : nil }
        guard let bytes = root.contents("proc/kallsyms", limit: limit) else { return nil }
        if holds(bytes, " \(KernelEvidence.decision)\n") { return true }
        return holds(bytes, " _etext\n") ? false : nil
    }

    private static func holds(_ bytes: [UInt8], _ text: String) -> Bool {
        let wanted = Array(text.utf8)
        return unsafe bytes.withUnsafeBytes { all in
            guard let begin = all.baseAddress else { return false }
            return unsafe peermr_find(begin, all.count, wanted, wanted.count) < all.count
        }
    }
}
