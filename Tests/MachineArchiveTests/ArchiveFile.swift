// SPDX-License-Identifier: Apache-2.0

import Glibc
import MachineArchive
import PeerMRCore
import SystemPackage
import TestSupport

/// A file that is written again and again, and read as an archive: thousands of damaged ones are looked at.
final class ArchiveFile {
    private let folder = TemporaryFolder()
    private let descriptor: Int32

    init() {
        descriptor = open(folder.path.appending("archive").string, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        precondition(descriptor >= 0)
    }

    deinit { close(descriptor) }

    func read(_ bytes: [UInt8]) throws(PeerMRError) -> CapturedTree {
        precondition(pwrite(descriptor, bytes, bytes.count, 0) == bytes.count)
        precondition(ftruncate(descriptor, bytes.count) == 0 && lseek(descriptor, 0, SEEK_SET) == 0)
        return try MachineArchive.read(descriptor: descriptor, name: "the archive")
    }
}

extension CapturedTree {
    /// All that is in it, in order.
    var listing: [String] {
        var lines: [String] = []
        forEach { path, content, isEmpty in
            if content != .directory || isEmpty { lines.append("\(path) \(content)") }
        }
        return lines
    }
}
