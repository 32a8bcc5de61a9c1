// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The version of a Linux kernel, as far as rules depend on it: major and minor.
public struct KernelRelease: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The first number of `uname -r`.
    public let major: Int
    /// The second number of `uname -r`.
    public let minor: Int

    /// A version given by its numbers.
    public init(_ major: Int, _ minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Reads the beginning of a release such as `7.3.4+deb13-amd64`; nil where it does not start with two numbers.
    public init?(release: String) {
        let parts = release.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, parts[0].allSatisfy({ $0.isASCII && $0.isNumber }),
            let major = Int(parts[0])
        else { return nil }
        guard let minor = Int(parts[1].prefix { $0.isNumber }) else { return nil }
        self.init(major, minor)
    }

    /// The running kernel's, by uname(2); nil where its release cannot be read as a version.
    public static func running() -> KernelRelease? { runningText().flatMap { KernelRelease(release: $0) } }

    /// All of the running kernel's release, such as `7.3.4+deb13-amd64`; nil where it is no text.
    package static func runningText() -> String? {
        var names = utsname()
        guard unsafe uname(&names) == 0 else { return nil }
        let release = unsafe withUnsafeBytes(of: &names.release) { bytes in
            unsafe bytes.prefix { $0 != 0 }.map { $0 }
        }
        return String(validating: release, as: UTF8.self)
    }

    /// Whether the one is older.
    public static func < (a: KernelRelease, b: KernelRelease) -> Bool {
        (a.major, a.minor) < (b.major, b.minor)
    }

    /// Major and minor version, such as 6.16.
    public var description: String { "\(major).\(minor)" }
}
