// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

/// A received file takes its name when it is whole.
@Suite struct OutputFileTests {
    let folder = TemporaryFolder()
    private var path: String { folder.path.appending("output").string }

    private func write(_ text: String, keep: Bool) throws {
        let file = try OutputFile(path)
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: text.utf8.count, alignment: 1)
        defer { bytes.deallocate() }
        bytes.copyBytes(from: text.utf8)
        try file.append(UnsafeRawBufferPointer(bytes).bytes)
        if keep { try file.keep() }
    }

    @Test func whatIsWholeReplacesWhatWasThere() throws {
        folder.file("output", "old contents")
        try write("new", keep: true)
        #expect(folder.root.attribute("output") == "new")
        #expect(folder.root.entries("") == ["output"])
    }

    @Test func whatIsNotWholeLeavesWhatWasThere() throws {
        folder.file("output", "old contents")
        try write("ne", keep: false)
        #expect(folder.root.attribute("output") == "old contents")
        #expect(folder.root.entries("") == ["output"])
    }

    @Test func whatIsNotWholeLeavesNothingWhereNothingWas() throws {
        try write("ne", keep: false)
        #expect(folder.root.entries("") == [])
        try write("whole", keep: true)
        #expect(folder.root.attribute("output") == "whole")
    }

    @Test func aDeviceIsWrittenAsItIs() throws {
        let file = try OutputFile("/dev/null")
        try file.append(UnsafeRawBufferPointer(start: nil, count: 0).bytes)
        try file.keep()
        #expect(folder.root.entries("") == [])
    }

    @Test func aPlaceThatCannotBeWrittenIsExplained() {
        let error = #expect(throws: PeerMRError.self) { _ = try OutputFile("/nonexistent/file") }
        #expect(error?.errno == .noSuchFileOrDirectory)
        #expect(error?.remedy?.contains("write") == true)
    }

    @Test func aLinkStays() throws {
        folder.file("output", "old contents")
        folder.link("link", to: "output")
        let file = try OutputFile(folder.path.appending("link").string)
        try file.write("new")
        #expect(folder.root.attribute("output") == "new")
        #expect(folder.root.entries("") == ["link", "output"])
    }

    @Test func aDirectoryIsNoPlaceToWrite() {
        let error = #expect(throws: PeerMRError.self) { _ = try OutputFile(folder.path.string) }
        #expect(error?.errno == .isDirectory && error?.reason.hasSuffix("cannot be written") == true)
    }
}
