// SPDX-License-Identifier: Apache-2.0

import Foundation
public import SystemPackage
public import PeerMRCore

/// A folder of one test's own, removed with all that is in it when the test lets go of it.
public final class TemporaryFolder {
    /// Where it is.
    public let path: FilePath
    /// The folder as the root of a captured machine.
    public var root: SystemRoot { SystemRoot(path) }

    /// Makes an empty folder.
    public init() {
        let name = "peermr-test-\(UUID().uuidString)"
        path = FilePath(FileManager.default.temporaryDirectory.path).appending(name)
        make { try $0.createDirectory(atPath: path.string, withIntermediateDirectories: true) }
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path.string)
    }

    /// Makes a folder with those above it.
    public func folder(_ relative: String) {
        let path = path.appending(relative).string
        make { try $0.createDirectory(atPath: path, withIntermediateDirectories: true) }
    }

    /// Makes a file with those folders that it needs.
    public func file(_ relative: String, _ bytes: [UInt8]) {
        folder(FilePath(relative).removingLastComponent().string)
        let path = path.appending(relative).string
        make { _ in try Data(bytes).write(to: URL(fileURLWithPath: path)) }
    }

    /// Makes a file of text.
    public func file(_ relative: String, _ text: String) { file(relative, Array(text.utf8)) }

    /// Makes a symbolic link whose target is written as it is given, as sysfs does with relative ones.
    public func link(_ relative: String, to target: String) {
        folder(FilePath(relative).removingLastComponent().string)
        let path = path.appending(relative).string
        make { try $0.createSymbolicLink(atPath: path, withDestinationPath: target) }
    }

    /// Makes 64 KiB of peer-to-peer memory of a PCI function: a file, with what its last owner left in it.
    public func pool(of provider: String) {
        let pool = "sys/bus/pci/devices/\(provider)/p2pmem"
        file("\(pool)/size", "65536\n")
        file("\(pool)/available", "65536\n")
        file("\(pool)/allocate", [UInt8](repeating: 0xa5, count: 65536))
    }

    /// A test whose folder cannot be made has found nothing out: it must not go on.
    private func make(_ body: (FileManager) throws -> Void) {
        do { try body(.default) } catch { preconditionFailure("no test folder: \(error)") }
    }
}
