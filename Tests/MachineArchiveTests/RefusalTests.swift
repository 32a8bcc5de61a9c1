// SPDX-License-Identifier: Apache-2.0

import CArchive
import MachineArchive
import PCITopology
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

/// Archives that ask for too much, or for what no machine has, are refused with a sentence. What that takes in memory
/// and time is measured by Tests/archives.py.
@Suite struct RefusalTests {
    private static func refusal(_ bytes: [UInt8]) -> String? {
        do throws(PeerMRError) {
            _ = try ArchiveFile().read(bytes)
            return nil
        } catch {
            return error.reason
        }
    }

    private static func tar(_ fill: (inout TarBytes) -> Void) -> [UInt8] {
        var tar = TarBytes()
        tar.add("sys", "5")
        fill(&tar)
        tar.end()
        return tar.bytes
    }

    @Test(arguments: [
        ("sys/a", "1", "sys/b", "hard link"), ("sys/a", "3", "", "device node"), ("sys/a", "4", "", "device node"),
        ("sys/a", "6", "", "neither a file"), ("sys/../../a", "0", "", "leads out"), ("../a", "0", "", "leads out"),
        ("sys/bus/a", "2", "../../../etc", "leads out"), ("sys/a", "2", "/etc/passwd", "leads out"),
        ("sys/a", "2", "b/../../../x", "leads out"), ("sys", "0", "", "is in it twice"),
    ] as [(String, Character, String, String)])
    func entriesOfWrongKinds(_ name: String, _ type: Character, _ link: String, _ words: String) {
        let reason = Self.refusal(Self.tar { $0.add(name, type, link: link) })
        #expect(reason?.contains(words) == true, "\(reason ?? "accepted")")
    }

    @Test func pathsAndLinksThatAreTooLong() {
        let deep = (0..<70).map { _ in "d" }.joined(separator: "/")
        for path in ["sys/\(deep)", "sys/" + String(repeating: "n", count: 5000)] {
            let reason = Self.refusal(Self.tar { $0.extended([("path", path)]); $0.add("sys/x") })
            #expect(reason?.contains("path has more than") == true, "\(reason ?? "accepted")")
        }
        let link = String(repeating: "a/", count: 3000)
        let reason = Self.refusal(Self.tar { $0.extended([("linkpath", link)]); $0.add("sys/x", "2", link: "a") })
        #expect(reason?.contains("too long") == true, "\(reason ?? "accepted")")
    }

    @Test func headersThatAreTooLong() {
        let value = String(repeating: "v", count: 900_000)
        let reason = Self.refusal(Self.tar { $0.extended([("SCHILY.xattr.user.x", value)]); $0.add("sys/x") })
        #expect(reason?.contains("header") == true, "\(reason ?? "accepted")")
        // A map of holes is expanded in memory: five million of them.
        let map = Array("5000000\n".utf8) + Array(repeating: Array("0\n0\n".utf8), count: 100_000).joined()
        let sparse = Self.tar {
            $0.extended([
                ("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "sys/x"),
                ("GNU.sparse.realsize", "4096"),
            ])
            $0.add("sys/x", "0", map)
        }
        #expect(Self.refusal(sparse)?.contains("header") == true)
    }

    @Test(arguments: [1 << 30, 1 << 40, 1 << 55])
    func sizesThatAreClaimed(_ size: Int) {
        let reason = Self.refusal(Self.tar { $0.add("sys/x", "0", [1], claimed: size) })
        #expect(reason?.contains("claims") == true, "\(reason ?? "accepted")")
        let sparse = Self.tar {
            $0.extended([
                ("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "\(size)"),
                ("GNU.sparse.name", "sys/x"),
            ])
            $0.add("sys/x", "0", Array("1\n0\n0\n".utf8) + [UInt8](repeating: 0, count: 506))
        }
        let hole = Self.refusal(sparse)
        #expect(hole?.contains("claims") == true, "\(hole ?? "accepted")")
    }

    @Test(arguments: [
        ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_BZIP2, ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_ZSTD, ARCHIVE_FILTER_LZ4,
    ])
    func zeros(_ filter: Int32) {
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        let reason = Self.refusal(TarBytes.compressed(filter, 70) { _ in zeros })
        #expect(reason?.contains("holds more than") == true, "\(reason ?? "accepted")")
    }

    @Test func aMillionEntries() {
        var block = TarBytes()
        for index in 0..<1000 { block.add("sys/devices/system/\(index)") }
        let reason = Self.refusal(TarBytes.compressed(ARCHIVE_FILTER_GZIP, 1000) { _ in block.bytes })
        #expect(reason?.contains("holds more than") == true, "\(reason ?? "accepted")")
    }

    @Test func whatDoesNotShrink() {
        var generator = SeededGenerator(seed: 5)
        let reason = Self.refusal(
            TarBytes.compressed(ARCHIVE_FILTER_BZIP2, 21) { _ in
                (0..<1 << 15).flatMap { _ in
                    let word = generator.next()
                    return (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
                }
            })
        #expect(reason != nil)
    }

    @Test func compressedTwice() {
        let once = TarBytes.compressed(ARCHIVE_FILTER_GZIP, 1) { _ in Self.tar { $0.add("sys/x") } }
        #expect(Self.refusal(once) == nil)
        let twice = TarBytes.compressed(ARCHIVE_FILTER_GZIP, 1) { _ in once }
        #expect(Self.refusal(twice)?.contains("more than once") == true)
    }

    @Test(arguments: [
        ("", "empty"), ("hello\n", "no tar archive"), ("peermr-snapshot 1\nend 1 0\n", "earlier versions"),
        ("PK\u{3}\u{4}", "no tar archive"),
    ])
    func filesThatAreNoArchives(_ text: String, _ words: String) {
        let reason = Self.refusal(Array(text.utf8))
        #expect(reason?.contains(words) == true, "\(reason ?? "accepted")")
    }

    @Test func archivesOfNoMachineOrOfTwo() {
        var none = TarBytes()
        none.add("etc/passwd")
        none.end()
        #expect(Self.refusal(none.bytes)?.contains("no sys") == true)
        var two = TarBytes()
        for name in ["a/sys/x", "b/sys/x"] { two.add(name) }
        two.end()
        #expect(Self.refusal(two.bytes)?.contains("more than one machine") == true)
    }

    @Test func filesThatCannotBeOpened() {
        for path in ["/nonexistent/file", "/proc/self"] {
            #expect(throws: PeerMRError.self) { try MachineArchive.read(FilePath(path)) }
            #expect(throws: PeerMRError.self) {
                try MachineArchive.write(CapturedTree(), to: FilePath(path), compression: .none)
            }
        }
    }
}
