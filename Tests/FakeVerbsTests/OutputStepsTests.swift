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

    private final class Child {
        let path: String
        let last: UInt32
        init(_ path: String, _ last: UInt32) { (self.path, self.last) = (path, last) }
    }

    /// Killed before each step: the file is the old one or the new one, and the next program is not in its way.
    @Test(arguments: 1...5 as ClosedRange<UInt32>)
    func whatIsKilledLeavesAWholeFile(_ step: UInt32) throws {
        folder.file("output", "old")
        try withFakeVerbs { _ in
            let child = Child(path, step)
            let status = fake_verbs_in_child(
                { argument in
                    let child = Unmanaged<Child>.fromOpaque(argument!).takeUnretainedValue()
                    fake_verbs_kill_before(child.last)
                    return (try? OutputFile(child.path).write("new")) == nil ? 1 : 0
                }, Unmanaged.passUnretained(child).toOpaque())
            // More steps than there are: it ends by itself.
            let isKilled = status == -1
            #expect(isKilled || status == 0)
            let found = folder.root.attribute("output")
            #expect(found == "old" || found == "new")
            #expect(isKilled || found == "new")
            #expect(step > 1 || isKilled && found == "old")
        }
        #expect(folder.root.entries("")?.count ?? 0 <= 2)
        try OutputFile(path).write("again")
        #expect(folder.root.attribute("output") == "again")
    }

    /// A file system over a network may say at close(2) that it is full: output is lost then, too.
    @Test func whatCloseSaysCounts() throws {
        for (number, expected) in [(ENOSPC, ENOSPC), (EBADF, 0), (0, 0)] {
            try withFakeVerbs { _ in
                var number = number
                let status = fake_verbs_in_child(
                    { argument in
                        let number = argument!.load(as: Int32.self)
                        LostOutput.finish { _ in
                            errno = number
                            return number == 0 ? 0 : -1
                        }
                        return LostOutput.failure?.errno.rawValue ?? 0
                    }, &number)
                #expect(status == expected)
            }
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

    @Test func theRightsOfTheOldFileStay() throws {
        folder.file("output", "old")
        #expect(chmod(path, 0o640) == 0)
        try OutputFile(path).write("new")
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o640)
    }
}
