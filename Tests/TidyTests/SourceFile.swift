// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// A text file of the package, by its path from the package's root.
struct SourceFile: Sendable, CustomTestStringConvertible {
    let path: String
    let lines: [String]
    var testDescription: String { path }
    var fileExtension: String { (path as NSString).pathExtension }

    /// Whether it is a program: by its extension, or by how its first line begins.
    var isCode: Bool {
        ["swift", "c", "h", "py", "sh"].contains(fileExtension) || lines.first?.hasPrefix("#!") == true
    }

    /// The folder that holds Package.swift.
    static let root = String(#filePath.dropLast("/Tests/TidyTests/SourceFile.swift".count))

    /// Everything in the package that is text, without what tools have made.
    static let all: [SourceFile] = {
        let made: Set = [".git", ".build", ".swiftpm", "__pycache__", "Package.resolved"]
        guard let walker = FileManager.default.enumerator(atPath: root) else { return [] }
        var files: [SourceFile] = []
        while let path = walker.nextObject() as? String {
            if made.contains((path as NSString).lastPathComponent) {
                walker.skipDescendants()
                continue
            }
            guard let data = FileManager.default.contents(atPath: "\(root)/\(path)"), data.count < 1 << 20,
                let text = String(data: data, encoding: .utf8), !text.contains("\0")
            else { continue }
            var lines = text.components(separatedBy: "\n")
            if lines.last == "" { lines.removeLast() }
            files.append(SourceFile(path: path, lines: lines))
        }
        return files.sorted { $0.path < $1.path }
    }()

    /// The code of the product: libraries and examples.
    static let product = all.filter { file in
        file.isCode && ["Sources/", "Examples/"].contains { file.path.hasPrefix($0) }
    }

    /// The Swift files of the product.
    static let swift = product.filter { $0.fileExtension == "swift" }
}

/// Something to mend: where, and what.
func report(_ file: SourceFile, _ line: Int, _ text: String) {
    Issue.record("\(file.path):\(line): \(text)")
}
