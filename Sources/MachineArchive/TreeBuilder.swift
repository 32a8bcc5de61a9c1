// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// Makes a tree of an archive's entries, within ``ArchiveLimits``.
struct TreeBuilder {
    let name: String
    private var tree = CapturedTree()
    private var entries = 0
    private var contentBytes = 0

    init(name: String) { self.name = name }

    /// Adds an entry, or refuses the archive.
    mutating func add(_ entry: TarReader.Entry, from reader: TarReader) throws(PeerMRError) {
        entries += 1
        guard entries <= ArchiveLimits.entries else {
            throw refusal("it has more than \(ArchiveLimits.entries) entries")
        }
        guard entry.byteCount <= ArchiveLimits.bytes else {
            throw refusal("\(shown(entry)) claims \(ByteCount.describe(entry.byteCount))")
        }
        let parts = entry.path.split(separator: "/").filter { $0 != "." }
        guard entry.path.utf8.count <= CapturedTree.pathLimit, parts.count <= ArchiveLimits.depth else {
            throw refusal(
                "an entry's path has more than \(CapturedTree.pathLimit) bytes or \(ArchiveLimits.depth) parts")
        }
        guard !parts.contains("..") else { throw refusal("\(shown(entry)) leads out of the archive") }
        guard !parts.isEmpty, !Self.isIgnored(parts) else { return }
        guard let content = try content(of: entry, reader) else { return }
        let path = parts.joined(separator: "/")
        guard tree.insert(content, at: path) else {
            throw refusal("\(shown(entry)) is in it twice, or below something that is no directory")
        }
        contentBytes += path.utf8.count
        guard tree.count * ArchiveLimits.nodeBytes + contentBytes <= ArchiveLimits.keptBytes else {
            throw .archiveTooLarge(name, ArchiveLimits.keptBytes)
        }
    }

    private mutating func content(
        of entry: TarReader.Entry, _ reader: TarReader
    ) throws(PeerMRError) -> CapturedTree.Content? {
        switch entry.kind {
        case .directory: return .directory
        case .link(let target):
            guard target.utf8.count <= CapturedTree.pathLimit else { throw refusal("a link is too long") }
            contentBytes += target.utf8.count
            return .link(target)
        case .other(let kind): throw refusal("\(shown(entry)) is \(kind)")
        case .file:
            guard entry.byteCount <= ArchiveLimits.fileBytes else { return nil }
            let bytes = try reader.content(limit: entry.byteCount)
            guard bytes.count == entry.byteCount else { throw refusal("\(shown(entry)) is cut off") }
            contentBytes += bytes.count
            return .file(bytes: bytes, claimedBytes: max(entry.claimedBytes ?? 0, bytes.count))
        }
    }

    /// What no answer depends on, and what archives of whole machines mostly consist of.
    private static func isIgnored(_ parts: [Substring]) -> Bool {
        if let sys = parts.firstIndex(of: "sys") {
            let below = parts[(sys + 1)...]
            return below.starts(with: ["devices", "system"]) || below.first == "firmware"
        }
        guard let proc = parts.firstIndex(of: "proc"), let process = parts[(proc + 1)...].first else { return false }
        return process.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    private func refusal(_ detail: String) -> PeerMRError { .archiveEntry(name, detail) }

    /// An entry's name for a sentence, or a part of it.
    private func shown(_ entry: TarReader.Entry) -> String { String(entry.path.prefix(80)).printable }
}

// MARK: - The whole

extension TreeBuilder {
    /// The machine: what is beside `sys` and `proc`.
    func machine() throws(PeerMRError) -> CapturedTree {
        var level = [""]
        for _ in 0..<8 {
            let found = level.filter { folder in
                ["sys", "proc"].contains { SystemRoot(tree).entries(folder.isEmpty ? $0 : "\(folder)/\($0)") != nil }
            }
            guard found.count <= 1 else { throw refusal("it holds more than one machine") }
            if let folder = found.first, let machine = tree.subtree(at: folder) {
                try check(machine)
                return machine
            }
            level = level.flatMap { folder in
                (SystemRoot(tree).entries(folder) ?? []).map { folder.isEmpty ? $0 : "\(folder)/\($0)" }
            }
        }
        throw .noMachine(name)
    }

    private func check(_ machine: CapturedTree) throws(PeerMRError) {
        try machine.forEach { path, content, _ throws(PeerMRError) in
            guard case .link(let target) = content else { return }
            guard !Self.leadsOut(target, from: path) else { throw refusal("a link leads out of the tree: \(path)") }
        }
        guard Seal.isIntact(machine) else { throw .damagedArchive(name, "its checksum does not fit") }
    }

    /// Whether a link's target is absolute, or climbs above the root.
    private static func leadsOut(_ target: String, from path: String) -> Bool {
        if target.hasPrefix("/") { return true }
        var depth = path.utf8.count { $0 == 0x2f }
        for part in target.split(separator: "/") where part != "." {
            depth += part == ".." ? -1 : 1
            if depth < 0 { return true }
        }
        return false
    }
}
