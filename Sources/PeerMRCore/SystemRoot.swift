// SPDX-License-Identifier: Apache-2.0

public import SystemPackage

/// Where `/sys` and `/proc` are: the running machine, a directory that holds a copy of another one's, or a captured
/// tree in memory.
///
/// Everything that reads the system takes one of these, so that a captured machine can be judged anywhere.
public struct SystemRoot: Hashable, Sendable {
    private enum Source: Hashable, Sendable {
        case directory(DirectorySource)
        case captured(CapturedTree)
    }
    private let source: Source

    /// A root at a directory of your own.
    public init(_ path: FilePath) { source = .directory(DirectorySource(path: path)) }

    /// A root in memory.
    public init(_ tree: CapturedTree) { source = .captured(tree) }

    /// The running machine.
    public static let live = SystemRoot("/")

    /// The directory that holds `sys` and `proc`; `/` for the running machine, and nil for a tree in memory.
    public var path: FilePath? {
        if case .directory(let directory) = source { return directory.path }
        return nil
    }

    /// Whether this is the machine that the program runs on.
    public var isLive: Bool { self == .live }

    /// Whether `sys` below this root is the kernel's own, here or mounted elsewhere, and no copy.
    public var isKernel: Bool { kernelNumber(ofDirectory: "sys") != nil }

    /// The number that the kernel's sysfs gave a directory when it made it: of two directories the older one has the
    /// lower number. Links are followed.
    ///
    /// - Returns: nil where it is missing, or its file system is another one than sysfs.
    public func kernelNumber(ofDirectory relative: String) -> UInt64? {
        if case .directory(let directory) = source { return directory.kernelNumber(relative) }
        return nil
    }

    /// The path of a file below this root, which is to be opened by other means; `relative` does not begin with a
    /// slash.
    ///
    /// For a tree in memory it is a path that never exists.
    public func appending(_ relative: String) -> FilePath {
        (path ?? "/dev/null/captured").appending(relative)
    }

    /// The text of a small attribute file without its last newline; nil where it is missing or unreadable.
    ///
    /// At most 64 KiB are read: sysfs attributes are a page, and a captured tree may hold anything.
    public func attribute(_ relative: String) -> String? {
        guard var bytes = contents(relative, limit: 65536) else { return nil }
        // tar fills a file up with zeros that is shorter than it claimed.
        while let last = bytes.last, last == 10 || last == 13 || last == 32 || last == 0 { bytes.removeLast() }
        return String(validating: bytes, as: UTF8.self)
    }

    /// The first `limit` bytes of a file; nil where it is missing or unreadable.
    public func contents(_ relative: String, limit: Int) -> [UInt8]? {
        switch source {
        case .directory(let directory): directory.contents(relative, limit: limit)
        case .captured(let tree): tree.contents(relative).map { Array($0.prefix(limit)) }
        }
    }

    /// Reads parts of a file, each by its offset and how many bytes; fewer come back at the end of what can be read.
    ///
    /// Reading configuration space costs a bus transaction for every four bytes: this is for taking only what is
    /// needed.
    ///
    /// - Returns: what `body` made of it; nil where the file is missing or cannot be opened.
    public func parts<R>(of relative: String, _ body: ((Int, Int) -> [UInt8]) -> R) -> R? {
        switch source {
        case .directory(let directory): return directory.parts(of: relative, body)
        case .captured(let tree):
            guard let bytes = tree.contents(relative) else { return nil }
            return body { offset, count in
                Array(bytes.dropFirst(max(0, offset)).prefix(max(0, count)))
            }
        }
    }

    /// The names in a directory, sorted; nil where it is missing or unreadable.
    public func entries(_ relative: String) -> [String]? {
        switch source {
        case .directory(let directory): directory.entries(relative)
        case .captured(let tree): tree.entries(relative)
        }
    }

    /// Whether a file or directory exists (links are followed).
    public func exists(_ relative: String) -> Bool {
        switch source {
        case .directory(let directory): directory.exists(relative)
        case .captured(let tree): tree.exists(relative)
        }
    }

    /// What a symbolic link points to; nil where it is no link.
    public func linkTarget(_ relative: String) -> FilePath? {
        switch source {
        case .directory(let directory): directory.linkTarget(relative)
        case .captured(let tree): tree.linkTarget(relative).map { FilePath($0) }
        }
    }

    /// The driver of a PCI function; nil where it has none.
    package func driver(of function: PCIAddress) -> String? {
        linkTarget("sys/bus/pci/devices/\(function)/driver")?.lastComponent?.string
    }

    /// The size that a file claims; nil where it is missing.
    public func fileSize(_ relative: String) -> Int? {
        switch source {
        case .directory(let directory): directory.fileSize(relative)
        case .captured(let tree): tree.fileSize(relative)
        }
    }

    /// The canonical path, links resolved; nil where it does not exist.
    public func realPath(_ relative: String) -> FilePath? {
        switch source {
        case .directory(let directory): directory.realPath(relative)
        case .captured(let tree): tree.realPath(relative).map { FilePath("/" + $0) }
        }
    }
}
