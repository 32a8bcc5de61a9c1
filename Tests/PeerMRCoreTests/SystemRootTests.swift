// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMRCore
import SystemPackage
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

    /// A captured directory may hold anything.
    @Test func aPipeDoesNotStopTheReader() async {
        folder.folder("sys")
        #expect(mkfifo(folder.path.appending("sys/pipe").string, 0o600) == 0)
        await #expect(processExitsWith: .success) { [path = folder.path.string as String] in
            alarm(20)
            #expect(SystemRoot(FilePath(path)).contents("sys/pipe", limit: 10) == [])
        }
    }

    /// The root of a tree that is part of another one has nothing above it either.
    @Test func aCapturedTreeHasNoWayOut() throws {
        var all = CapturedTree()
        let secret = CapturedTree.Content.file(bytes: [7], claimedBytes: 1)
        for (path, content) in [
            ("other/secret", secret), ("machine/own", secret), ("machine/sys/far", .link("../../other/secret")),
            ("machine/sys/near", .link("../../own")), ("machine/sys/absolute", .link("/other/secret")),
        ] {
            let isThere = all.insert(content, at: path)
            #expect(isThere)
        }
        let root = SystemRoot(try #require(all.subtree(at: "machine")))
        for path in ["../other/secret", "sys/../../other/secret", "sys/far", "sys/absolute", "/other/secret"] {
            #expect(root.contents(path, limit: 10) == nil, "\(path)")
        }
        #expect(root.contents("sys/near", limit: 10) == [7], "above the root is the root, as the kernel has it")
    }

    /// As many as the kernel follows; more, or links that go round, lead nowhere.
    @Test func linksOfACapturedTreeComeToAnEnd() throws {
        var tree = CapturedTree()
        var isThere = tree.insert(.file(bytes: [7], claimedBytes: 1), at: "0")
        for number in 1...41 {
            let isNew = tree.insert(.link("\(number - 1)"), at: "\(number)")
            isThere = isThere && isNew
        }
        try #require(isThere)
        #expect(SystemRoot(tree).contents("40", limit: 10) == [7])
        #expect(SystemRoot(tree).contents("41", limit: 10) == nil)
    }

    @Test func theRunningMachineHasASysfs() {
        #expect(SystemRoot.live.exists("proc/self/status"))
        #expect(SystemRoot.live.attribute("proc/sys/kernel/ostype") == "Linux")
    }
}
