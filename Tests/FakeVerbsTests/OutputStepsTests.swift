// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

@testable import CommandSupport

/// A file is durable before it is kept, and whole whatever happens on the way.
@Suite struct OutputStepsTests {
    let folder = TemporaryFolder()
    private var path: String { folder.path.appending("output").string }

    @Test func theFileIsDurableBeforeItsName() throws {
        folder.file("output", "old")
        try withFakeVerbs { fake in
            try OutputFile(path).write("new")
            let steps = fake.journal.filter { $0 != "linkat" }
            #expect(steps == ["fsync", "rename", "fsync of a directory"])
        }
        #expect(folder.root.attribute("output") == "new")
    }

    /// A full disk may show only here; the old file stays, and nothing else does.
    @Test(arguments: ["fsync", "rename"], [Errno.noSpace, .ioError])
    func aStepThatFailsIsNoSuccess(_ call: String, _ errno: Errno) throws {
        folder.file("output", "old")
        try withFakeVerbs { fake in
            fake.fail(call, errno)
            let error = #expect(throws: PeerMRError.self) { try OutputFile(path).write("new") }
            #expect(error?.errno == errno && error?.call == call)
            #expect(error?.code == (errno == .noSpace ? .resourceLimit : .system))
        }
        #expect(folder.root.attribute("output") == "old")
        #expect(folder.root.entries("") == ["output"])
    }

    @Test func aDirectoryThatIsNotDurableIsNoSuccess() throws {
        try withFakeVerbs { fake in
            fake.fail("fsync of a directory", .ioError)
            _ = #expect(throws: PeerMRError.self) { try OutputFile(path).write("new") }
        }
    }

    /// Killed before each step: the file is the old one or the new one, and the next program is not in its way.
    @Test(arguments: ["fsync", "linkat", "rename", "fsync of a directory", nil] as [String?])
    func whatIsKilledLeavesAWholeFile(_ step: String?) async throws {
        folder.file("output", "old")
        await #expect(processExitsWith: step == nil ? .success : .signal(SIGKILL)) { [path = path as String, step] in
            try withFakeVerbs { _ in
                if let step { fake_verbs_kill_before(step) }
                try OutputFile(path).write("new")
            }
        }
        #expect(folder.root.attribute("output") == (step == nil || step == "fsync of a directory" ? "new" : "old"))
        #expect(folder.root.entries("")?.count ?? 0 <= 2)
        try OutputFile(path).write("again")
        #expect(folder.root.attribute("output") == "again")
    }

    /// A file system over a network may say at close(2) that it is full: output is lost then, too.
    @Test(arguments: [(ENOSPC, ENOSPC), (EBADF, 0), (0, 0)] as [(Int32, Int32)])
    func whatCloseSaysCounts(_ number: Int32, _ expected: Int32) async {
        await #expect(processExitsWith: .success) { [number, expected] in
            LostOutput.finish { _ in
                errno = number
                return number == 0 ? 0 : -1
            }
            #expect(LostOutput.failure?.errno.rawValue ?? 0 == expected)
        }
    }

    /// A link to nothing yet is followed: its target comes about, and the link stays.
    @Test func aLinkToNothingLeadsToItsTarget() throws {
        folder.file("elsewhere/other", "")
        folder.link("link", to: "elsewhere/target")
        try OutputFile(folder.path.appending("link").string).write("new")
        #expect(folder.root.attribute("elsewhere/target") == "new")
        #expect(folder.root.attribute("link") == "new")
        #expect(folder.root.entries("elsewhere") == ["other", "target"])
    }

    @Test func linksThatGoRoundAreExplained() throws {
        folder.link("one", to: "two")
        folder.link("two", to: "one")
        let error = #expect(throws: PeerMRError.self) { try OutputFile(folder.path.appending("one").string) }
        #expect(error?.errno == .tooManySymbolicLinkLevels)
    }

    /// Where all files have names, as on 9p and NFS, it is a new file beside the old one, and goes where it is not kept.
    @Test(arguments: [true, false], [nil, "old"] as [String?])
    func aFileSystemWithoutUnnamedFiles(_ isKept: Bool, _ old: String?) throws {
        if let old { folder.file("output", old) }
        try withFakeVerbs { fake in
            fake.fail("open O_TMPFILE", .notSupported)
            do {
                let file = try OutputFile(path)
                #expect(fake.journal == ["open O_CREAT O_EXCL"], "nobody else's file")
                #expect(folder.root.entries("")?.count == (old == nil ? 1 : 2))
                #expect(folder.root.attribute("output") == old)
                if isKept { try file.write("new") } else { try file.append([UInt8]("new".utf8).span.bytes) }
            }
            #expect(folder.root.attribute("output") == (isKept ? "new" : old))
            #expect(folder.root.entries("") == (isKept || old != nil ? ["output"] : []))
        }
    }

    @Test func theRightsOfTheOldFileStay() throws {
        folder.file("output", "old")
        #expect(chmod(path, 0o640) == 0)
        try OutputFile(path).write("new")
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o640)
    }
}
