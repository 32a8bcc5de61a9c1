// SPDX-License-Identifier: Apache-2.0

import Foundation
import PeerMRCore
import Testing

/// The compiler that built these tests, with the modules that it built for them.
struct Compiler {
    /// An error of a file: its line, from 1, and its words.
    struct Finding: Hashable {
        var line: Int
        var text: String
    }

    private let swiftc: String
    private let arguments: [String]
    /// The folder of the samples.
    let samples: String

    init() throws {
        let root = String(#filePath.dropLast("/Tests/MustNotCompileTests/Compiler.swift".count))
        samples = "\(root)/Tests/MustNotCompile"
        let maps = String(decoding: SystemRoot.live.contents("proc/self/maps", limit: 1 << 20) ?? [], as: UTF8.self)
        let library = "/lib/swift/linux/libswiftCore.so"
        let line = try #require(maps.split(separator: "\n").first { $0.hasSuffix(library) })
        let begin = try #require(line.firstIndex(of: "/"))
        swiftc = "\(line[begin...].dropLast(library.count))/bin/swiftc"
        // SCRATCH/TRIPLE/CONFIGURATION/NAME.xctest
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let products = URL(fileURLWithPath: program).deletingLastPathComponent()
        let scratch = products.deletingLastPathComponent().deletingLastPathComponent().path
        let maps4C = [
            "\(root)/Sources/CVerbs/module.modulemap", "\(products.path)/CLeases.build/module.modulemap",
            "\(products.path)/CLinux.build/module.modulemap",
            "\(scratch)/checkouts/swift-system/Sources/CSystem/include/module.modulemap",
        ]
        arguments =
            ["-frontend", "-emit-sil", "-swift-version", "6", "-module-name", "Sample", "-o", "/dev/null"]
            + ["-diagnostic-style", "llvm", "-I", "\(products.path)/Modules"]
            + maps4C.flatMap { ["-Xcc", "-fmodule-map-file=\($0)"] }
    }

    /// The errors that a file gives.
    func errors(in path: String) throws -> Set<Finding> {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: swiftc)
        process.arguments = arguments + [path]
        process.standardError = pipe
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        var found: Set<Finding> = []
        for line in output.split(separator: "\n") {
            guard let match = line.firstMatch(of: /^(.*?):(\d+):\d+: error: (.*)$/) else { continue }
            let number = match.1 == path ? Int(match.2) ?? 0 : 0
            found.insert(Finding(line: number, text: String(match.3)))
        }
        #expect((process.terminationStatus != 0) == !found.isEmpty, "\(output)")
        return found
    }

    /// The errors that a file announces in comments: `expected-error {{WORDS}}`, on their line.
    static func announced(in text: String) -> [Finding] {
        text.components(separatedBy: "\n").enumerated().flatMap { index, line in
            line.matches(of: /expected-error \{\{(.*?)\}\}/).map {
                Finding(line: index + 1, text: String($0.1))
            }
        }
    }
}
