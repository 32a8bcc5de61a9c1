// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import PeerMRCore
import TestSupport
import Testing

@Suite struct SystemRootTests {
    let folder = TemporaryFolder()

    @Test(arguments: [
        ("0x1234\n", "0x1234"), ("none", "none"), ("two words \r\n", "two words"), ("\n\n", ""),
        ("a\nb\n", "a\nb"), ("", ""), (" x", " x"),
    ])
    func anAttributeComesWithoutItsLastNewline(_ content: String, _ text: String) {
        folder.file("sys/attribute", content)
        #expect(folder.root.attribute("sys/attribute") == text)
    }

    @Test func aMissingAttributeIsNil() {
        folder.folder("sys/folder")
        folder.link("sys/dangling", to: "nowhere")
        for name in ["sys/missing", "sys/folder", "sys/dangling", "sys/folder/x/y"] {
            #expect(folder.root.attribute(name) == nil, "\(name)")
            #expect(folder.root.contents(name, limit: 10) == nil, "\(name)")
        }
    }

    @Test func bytesThatAreNoTextAreNil() {
        folder.file("sys/binary", [0x41, 0xff, 0xfe])
        #expect(folder.root.attribute("sys/binary") == nil)
        #expect(folder.root.contents("sys/binary", limit: 100) == [0x41, 0xff, 0xfe])
    }

    @Test(arguments: [0, 1, 4095, 4096, 4097, 10_000, 20_000])
    func contentsEndAtTheLimit(_ limit: Int) {
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        folder.file("sys/config", bytes)
        #expect(folder.root.contents("sys/config", limit: limit) == Array(bytes.prefix(limit)))
    }

    @Test func aHugeAttributeIsCutNotSwallowed() {
        folder.file("sys/huge", [UInt8](repeating: 0x61, count: 200_000))
        #expect(folder.root.attribute("sys/huge")?.utf8.count == 65536)
    }

    @Test func entriesAreSortedAndWithoutDots() {
        for name in ["b", "a", "c.d", ".hidden"] { folder.file("sys/bus/\(name)", "") }
        folder.file("sys/bus/" + String(repeating: "n", count: 255), "")
        #expect(
            folder.root.entries("sys/bus")
                == [".hidden", "a", "b", "c.d", String(repeating: "n", count: 255)])
        folder.folder("sys/empty")
        #expect(folder.root.entries("sys/empty") == [])
        #expect(folder.root.entries("sys/missing") == nil)
        #expect(folder.root.entries("sys/bus/a") == nil)
    }

    @Test func linksAreFollowedOrReadAsAsked() throws {
        folder.file("sys/devices/pci/real", "")
        folder.link("sys/class/link", to: "../devices/pci/real")
        folder.link("sys/class/dangling", to: "../devices/gone")
        let root = folder.root
        #expect(root.linkTarget("sys/class/link") == "../devices/pci/real")
        #expect(root.linkTarget("sys/class/dangling") == "../devices/gone")
        #expect(root.linkTarget("sys/devices/pci/real") == nil)
        #expect(root.exists("sys/class/link"))
        #expect(!root.exists("sys/class/dangling"))
        #expect(root.realPath("sys/class/dangling") == nil)
        let real = try #require(root.realPath("sys/class/link"))
        #expect(real.ends(with: "sys/devices/pci/real"))
    }

    @Test func aLoopOfLinksIsNothing() {
        folder.link("sys/a", to: "b")
        folder.link("sys/b", to: "a")
        #expect(folder.root.realPath("sys/a") == nil)
        #expect(!folder.root.exists("sys/a"))
        #expect(folder.root.attribute("sys/a") == nil)
    }

    @Test func theRunningMachineHasASysfs() {
        #expect(SystemRoot.live.exists("proc/self/status"))
        #expect(SystemRoot.live.attribute("proc/sys/kernel/ostype") == "Linux")
    }
}
