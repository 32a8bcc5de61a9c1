// SPDX-License-Identifier: Apache-2.0

import Foundation
import SystemPackage
import TestSupport
import Testing

/// The preload library, built by its own Makefile, with fakes of both libraries that it stands between.
final class PreloadHarness: @unchecked Sendable {
    private let folder = TemporaryFolder()
    /// Without libpeermr beside it.
    private let lonely = TemporaryFolder()
    /// With a libpeermr of another version.
    private let foreign = TemporaryFolder()

    /// What a program printed, and how it ended.
    struct Outcome {
        let code: Int32
        let lines: [String]
        let said: String
    }

    /// The file that stands for a pool of p2pmem, in the folder.
    static let pool = "0000:01:00.0/p2pmem/allocate"

    /// One for all tests: compiling takes a while.
    static let shared = Result { try PreloadHarness() }

    private init() throws {
        let tests = String(#filePath.dropLast("/PreloadTests/PreloadHarness.swift".count))
        let sources = "\(tests)/../Sources"
        let fakes = "\(tests)/PreloadFakes"
        let place = folder.path.string
        try Self.run("make", "-s", "-C", "\(sources)/Preload", "OUT=\(place)")
        try Self.compile(
            "-shared", "-fPIC", "-Wl,-soname,libibverbs.so.1", "-Wl,--version-script=\(fakes)/fake_ibverbs.map",
            "\(fakes)/fake_ibverbs.c", "-o", "\(place)/libibverbs.so.1")
        try Self.compile(
            "-shared", "-fPIC", "-Wl,-soname,libpeermr.so.0", "-I\(sources)/CPeerMR/include", "\(fakes)/fake_peermr.c",
            "\(place)/libibverbs.so.1", "-Wl,-rpath,$ORIGIN", "-o", "\(place)/libpeermr.so.0")
        try Self.compile(
            "-shared", "-fPIC", "\(fakes)/plugin.c", "\(place)/libibverbs.so.1", "-Wl,-rpath,$ORIGIN", "-o",
            "\(place)/plugin.so")
        // As wheels bring one.
        try Self.compile(
            "-shared", "-fPIC", "-Wl,-soname,libibverbs-1f2e.so.1", "-Wl,--version-script=\(fakes)/fake_ibverbs.map",
            "\(fakes)/fake_ibverbs.c", "-o", "\(place)/libibverbs-1f2e.so.1")
        try Self.compile(
            "-shared", "-fPIC", "\(fakes)/plugin.c", "\(place)/libibverbs-1f2e.so.1", "-Wl,-rpath,$ORIGIN", "-o",
            "\(place)/wheel.so")
        try Self.compile(
            "\(fakes)/program.c", "\(place)/libibverbs.so.1", "-Wl,-rpath,$ORIGIN", "-pthread", "-rdynamic", "-o",
            "\(place)/program")
        try Self.compile(
            "\(fakes)/watched.c", "\(place)/libibverbs.so.1", "-Wl,-rpath,$ORIGIN", "-pthread", "-rdynamic", "-o",
            "\(place)/watched")
        try Self.compile(
            "-DPLUGIN", "\(fakes)/program.c", "-Wl,-rpath,$ORIGIN", "-o", "\(place)/plugged")
        folder.file(Self.pool, [UInt8](repeating: 0, count: 16384))
        try Self.run("cp", "\(place)/libpeermr-preload.so", lonely.path.string)
        try Self.run("cp", "\(place)/libpeermr-preload.so", foreign.path.string)
        foreign.file("old.c", Array("int peermr_register_address(void) { return 0; }\n".utf8))
        try Self.compile(
            "-shared", "-fPIC", "-Wl,-soname,libpeermr.so.0", "\(foreign.path.string)/old.c", "-o",
            "\(foreign.path.string)/libpeermr.so.0")
    }

    private static func compile(_ words: String...) throws {
        try run(["cc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"] + words + ["-ldl"])
    }

    private static func run(_ words: String...) throws { try run(words) }

    private static func run(_ words: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(words.joined(separator: " "))")
    }

    /// Runs the program with the preload library and these variables alone.
    ///
    /// - Parameters:
    ///   - file: what the program maps; nil for memory of the host.
    ///   - preloaded: whether at all.
    ///   - alone: whether libpeermr is missing.
    ///   - isOld: whether libpeermr has not what is asked of it.
    func run(
        _ command: String, _ variables: [String: String] = [:], file: String? = PreloadHarness.pool,
        preloaded: Bool = true, alone: Bool = false, isOld: Bool = false
    ) throws -> Outcome {
        let place = isOld ? foreign.path.string : alone ? lonely.path.string : nil
        return try start("program", [command], variables, file: file, preloaded: preloaded, from: place)
    }

    /// Runs the program that has libibverbs by its plug-ins alone, `plugin` or, with one of another name, `wheel`.
    func plug(_ plugins: String..., variables: [String: String] = [:]) throws -> Outcome {
        let files = plugins.map { "\(folder.path.string)/\($0).so" }
        return try start(
            "plugged", [files.joined(separator: ":")], variables, file: Self.pool, preloaded: true)
    }

    /// Runs the program whose posts are watched, over memory of a device that wants whole pages.
    ///
    /// - Parameters:
    ///   - acts: what it does, as `watched.c` has it.
    ///   - memory: what the fake of libpeermr takes its memory for.
    func watch(
        _ acts: [String], _ variables: [String: String] = ["PEERMR_WHOLE_PAGES": "1"], memory: String = "pages"
    ) throws -> Outcome {
        try start(
            "watched", acts, variables.merging(["FAKE_KEYS": "1", "FAKE_PEERMR": memory]) { $1 }, file: Self.pool,
            preloaded: true)
    }

    private func start(
        _ program: String, _ words: [String], _ variables: [String: String], file: String?, preloaded: Bool,
        from library: String? = nil
    ) throws -> Outcome {
        let process = Process()
        let place = folder.path.string
        process.executableURL = URL(fileURLWithPath: "\(place)/\(program)")
        process.arguments = words
        process.environment = variables
        if let file { process.environment?["FAKE_FILE"] = file.hasPrefix("/") ? file : "\(place)/\(file)" }
        if preloaded {
            process.environment?["LD_PRELOAD"] = "\(library ?? place)/libpeermr-preload.so"
        }
        let output = Pipe()
        let error = Pipe()
        process.standardOutput = output
        process.standardError = error
        try process.run()
        // What they print fits into a pipe.
        process.waitUntilExit()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        return Outcome(
            code: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
            lines: text.split(separator: "\n").map(String.init),
            said: String(decoding: error.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self))
    }
}
