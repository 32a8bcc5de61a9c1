// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

/// Which kernel it is, as far as its release (`uname -r`) tells: the version, and whose code it is.
///
/// A distribution's kernel may have code of a later version under its number: only a plain upstream kernel and Debian's
/// are what their number says.
public struct KernelIdentity: Hashable, Sendable, CustomStringConvertible {
    /// Whose code it is.
    public enum Origin: String, Hashable, Sendable {
        /// A release as kernel.org has it: nothing but numbers, or a release candidate.
        case upstream
        /// Debian's: the stable release of its number, with few changes.
        case debian
        /// Anyone else's, or one's own: its number is that of the version that it began with.
        case vendor
        /// No Linux at all, but a program that offers its calls and names some version.
        case emulated
    }

    /// The version, without the patch level.
    public let release: KernelRelease
    /// The third number, the patch level of a stable release; nil where the release has none that says so, as with
    /// Debian's `6.1.0-18-amd64`, which is some 6.1.
    public let patch: Int?
    /// Whose code it is.
    public let origin: Origin
    /// Whether it comes before the release of its number (`-rc2`).
    public let isCandidate: Bool
    /// The build of an enterprise kernel: 503 of `5.14.0-503.11.1.el9_5`; nil elsewhere.
    let build: Int?
    /// The generation of an enterprise kernel: 9 of `.el9_5`; nil elsewhere.
    let enterprise: Int?

    /// A release of kernel.org.
    public init(_ release: KernelRelease, patch: Int = 0) {
        self.release = release
        self.patch = patch
        origin = .upstream
        isCandidate = false
        (build, enterprise) = (nil, nil)
    }

    /// Reads `uname -r`; nil where it does not begin with a version.
    public init?(release text: String) {
        guard let release = KernelRelease(release: text) else { return nil }
        self.release = release
        let (third, rest) = Self.parts(text)
        isCandidate = rest.hasPrefix("-rc")
        origin = Self.origin(text, rest)
        // Debian's older names have a number of their own where others have the patch level.
        patch = origin == .debian && !rest.hasPrefix("+") ? (third == 0 ? nil : third) : third
        enterprise = Self.enterprise(rest)
        build = enterprise == nil ? nil : Int(rest.dropFirst().prefix { $0.isNumber })
    }

    /// The third number, and what stands behind the numbers.
    private static func parts(_ text: String) -> (Int, Substring) {
        var rest = text.drop { $0 != "." }.dropFirst().drop { $0.isNumber }
        guard rest.first == ".", let third = Int(rest.dropFirst().prefix { $0.isNumber }) else { return (0, rest) }
        rest = rest.dropFirst().drop { $0.isNumber }
        return (third, rest)
    }

    private static func origin(_ text: String, _ rest: Substring) -> Origin {
        // gVisor answers 4.4.0, or names itself.
        if text == "4.4.0" || rest.contains("gvisor") { return .emulated }
        if rest.isEmpty { return .upstream }
        if rest.hasPrefix("-rc"), !rest.dropFirst(3).isEmpty, rest.dropFirst(3).allSatisfy(\.isNumber) {
            return .upstream
        }
        return isDebian(rest) ? .debian : .vendor
    }

    /// `+deb13-amd64`, `+deb13+1-arm64-16k`, `+bpo-amd64`, `-18-amd64`, `-0.deb12.4-rt-amd64`.
    private static func isDebian(_ rest: Substring) -> Bool {
        var words = rest.dropFirst().split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        let first = words.removeFirst()
        if words.first == "rt" { words.removeFirst() }
        if words.last == "16k" { words.removeLast() }
        guard let architecture = words.popLast(), words.isEmpty, architectures.contains(architecture) else {
            return architectureWithDash(rest)
        }
        if rest.hasPrefix("+") { return first.hasPrefix("deb") || first.hasPrefix("bpo") }
        return !first.isEmpty && (first.allSatisfy(\.isNumber) || first.hasPrefix("0.deb") || first.hasPrefix("0.bpo"))
    }

    private static func architectureWithDash(_ rest: Substring) -> Bool {
        guard rest.hasSuffix("-686-pae") || rest.hasSuffix("-armmp-lpae") else { return false }
        return isDebian(rest.dropLast(rest.hasSuffix("-pae") ? 4 : 5))
    }

    private static let architectures: Set<String> = [
        "amd64", "arm64", "686", "armmp", "powerpc64le", "powerpc64", "s390x", "riscv64", "loong64", "loongson",
    ]

    /// The number of `.el9`, which ends there or at an underscore or point: `.el9uek` is another one's.
    private static func enterprise(_ rest: Substring) -> Int? {
        for word in rest.split(separator: ".") where word.hasPrefix("el") {
            let digits = word.dropFirst(2).prefix { $0.isNumber }
            let behind = word.dropFirst(2 + digits.count)
            if behind.isEmpty || behind.first == "_" { return Int(digits) }
        }
        return nil
    }

    /// What a capture keeps of the release: what is read of it here, and nothing of a name that somebody gave it.
    var reduced: String {
        let number = "\(release).\(patch ?? 0)"
        switch origin {
        case .upstream: return isCandidate ? "\(number)-rc1" : number
        case .debian: return number + (patch == nil ? "-1-amd64" : "+deb-amd64")
        case .vendor: return number + (enterprise.map { "-\(build ?? 0).el\($0)" } ?? "-vendor")
        case .emulated: return "\(number)-gvisor"
        }
    }

    /// The version, with the patch level where that is known, such as 7.1.3.
    public var description: String { patch.map { $0 > 0 ? "\(release).\($0)" : "\(release)" } ?? "\(release)" }
}
