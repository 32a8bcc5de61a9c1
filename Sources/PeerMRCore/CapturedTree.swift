// SPDX-License-Identifier: Apache-2.0

/// A part of a file system in memory: directories, files and symbolic links, as a machine was captured.
///
/// Links are resolved as the kernel does it, within this tree alone: at most 40 on one way, and never above its root.
public struct CapturedTree: Hashable, Sendable {
    /// What is at a path.
    public enum Content: Hashable, Sendable {
        case directory
        /// A file with what could be read of it, and the size that it claimed.
        case file(bytes: [UInt8], claimedBytes: Int)
        case link(String)
    }

    private struct Node: Hashable, Sendable {
        let name: String
        let parent: Int
        var content: Content
        var children: [String: Int] = [:]
    }

    private var nodes = [Node(name: "", parent: 0, content: .directory)]
    private var root = 0

    /// The longest path, in bytes.
    public static let pathLimit = 4096
    /// The most links on one way.
    public static let linkLimit = 40

    /// A tree with nothing in it.
    public init() {}

    /// How many directories, files and links there are.
    public var count: Int { nodes.count - 1 }

    /// The tree below one of its directories, which becomes the root; nil where there is no such directory.
    public func subtree(at path: String) -> CapturedTree? {
        guard let place = find(path), nodes[place].content == .directory else { return nil }
        var tree = self
        tree.root = place
        return tree
    }

    /// Puts something at a path; directories above it are made as needed.
    ///
    /// - Returns: false, and nothing changes, where the path is malformed or something else is there or above it.
    ///   The same directory twice is no conflict.
    public mutating func insert(_ content: Content, at path: String) -> Bool {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard path.utf8.count <= Self.pathLimit, !path.utf8.contains(0),
            parts.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." })
        else { return false }
        var place = root
        for part in parts.dropLast() {
            guard nodes[place].content == .directory else { return false }
            place = nodes[place].children[part] ?? add(part, below: place, .directory)
        }
        guard let last = parts.last, nodes[place].content == .directory else { return false }
        if let found = nodes[place].children[last] {
            return content == .directory && nodes[found].content == .directory
        }
        _ = add(last, below: place, content)
        return true
    }

    private mutating func add(_ name: String, below parent: Int, _ content: Content) -> Int {
        nodes.append(Node(name: name, parent: parent, content: content))
        nodes[parent].children[name] = nodes.count - 1
        return nodes.count - 1
    }

    /// Whether something stands at exactly this path, no link followed.
    public func holds(_ path: String) -> Bool { find(path, followsLast: false) != nil }

    /// Everything in it in the order of the paths' components, each with its path.
    public func forEach<E: Error>(
        _ body: (_ path: String, _ content: Content, _ isEmpty: Bool) throws(E) -> Void
    ) throws(E) {
        // The tree is as deep as a path is long: a stack of our own, not the program's.
        var stack: [(Int, String)] = [(root, "")]
        while let (place, path) = stack.popLast() {
            let node = nodes[place]
            if place != root { try body(path, node.content, node.children.isEmpty) }
            for (name, child) in node.children.sorted(by: { $0.key > $1.key }) {
                stack.append((child, path.isEmpty ? name : "\(path)/\(name)"))
            }
        }
    }
}

extension CapturedTree {
    private func find(_ path: String, followsLast: Bool = true) -> Int? {
        guard path.utf8.count <= Self.pathLimit else { return nil }
        var ahead = Self.components(path)
        var place = root
        var links = 0
        while let part = ahead.popLast() {
            if part == "." { continue }
            if part == ".." {
                if place != root { place = nodes[place].parent }
                continue
            }
            guard let next = nodes[place].children[String(part)] else { return nil }
            switch nodes[next].content {
            case .link(let target) where followsLast || !ahead.isEmpty:
                links += 1
                guard links <= Self.linkLimit, target.utf8.count <= Self.pathLimit else { return nil }
                if target.hasPrefix("/") { place = root }
                ahead += Self.components(target)
            case .file, .link:
                guard ahead.isEmpty else { return nil }
                place = next
            case .directory: place = next
            }
        }
        return place
    }

    /// The components of a path, the first one last.
    private static func components(_ path: String) -> [Substring] {
        path.split(separator: "/").reversed()
    }

    func contents(_ path: String) -> [UInt8]? {
        guard let place = find(path), case .file(let bytes, _) = nodes[place].content else {
            return nil
        }
        return bytes
    }

    func entries(_ path: String) -> [String]? {
        guard let place = find(path), nodes[place].content == .directory else { return nil }
        return nodes[place].children.keys.sorted()
    }

    func exists(_ path: String) -> Bool { find(path) != nil }

    func linkTarget(_ path: String) -> String? {
        guard let place = find(path, followsLast: false), case .link(let target) = nodes[place].content
        else { return nil }
        return target
    }

    func fileSize(_ path: String) -> Int? {
        guard let place = find(path) else { return nil }
        switch nodes[place].content {
        case .file(_, let claimed): return claimed
        case .directory, .link: return 0
        }
    }

    func realPath(_ path: String) -> String? {
        guard var place = find(path) else { return nil }
        var parts: [String] = []
        while place != root {
            parts.append(nodes[place].name)
            place = nodes[place].parent
        }
        return parts.reversed().joined(separator: "/")
    }
}
