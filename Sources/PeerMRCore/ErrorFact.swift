// SPDX-License-Identifier: Apache-2.0

package import SystemPackage

/// A fact that an error's sentence is filled in with: its name, for the documentation, and how it is written.
package protocol ErrorFact: Sendable {
    associatedtype Value
    var name: String { get }
    func text(_ value: Value) -> String
}

extension ErrorFact {
    func filled(_ value: Value) -> ErrorText<Self> { ErrorText(description: text(value)) }
    /// The name in the fact's place.
    var placeholder: ErrorText<Self> { ErrorText(description: "⟨\(name)⟩") }
}

/// A fact as it stands in a sentence.
package struct ErrorText<Fact: ErrorFact>: CustomStringConvertible {
    package let description: String
}

/// A fact that is written as it describes itself.
extension String: ErrorFact {
    package var name: String { self }
    package func text(_ value: any CustomStringConvertible) -> String { "\(value)" }
}

/// A fact that is written in a way of its own.
package struct FormattedFact<Value>: ErrorFact {
    package let name: String
    private let format: @Sendable (Value) -> String

    package init(_ name: String, _ format: @escaping @Sendable (Value) -> String) {
        self.name = name
        self.format = format
    }

    package func text(_ value: Value) -> String { format(value) }
}

extension ErrorFact where Self == FormattedFact<any BinaryInteger> {
    /// A number of bytes, in the largest unit that is not more.
    package static func bytes(_ name: String) -> Self { Self(name) { ByteCount.describe($0) } }

    /// A number in hexadecimal digits, with 0x before them.
    package static func hexadecimal(_ name: String) -> Self { Self(name) { "0x" + String($0, radix: 16) } }
}

extension ErrorFact where Self == FormattedFact<[String]> {
    /// Several names, with commas.
    package static func list(_ name: String) -> Self { Self(name) { $0.joined(separator: ", ") } }
}

extension ErrorFact where Self == FormattedFact<(any CustomStringConvertible)?> {
    /// A fact that may be missing, which takes the words around it along.
    package static func optional(_ before: String, _ name: String, _ after: String = "") -> Self {
        Self(name) { value in value.map { "\(before)\($0)\(after)" } ?? "" }
    }
}

// Numbers of Linux that the System module has no name for.
extension Errno {
    /// EREMOTEIO: peer-to-peer DMA that the kernel refuses, among others.
    package static let remoteIO = Errno(rawValue: 121)
    /// ENOTSUPP, a kernel-internal number that drivers let escape.
    package static let kernelNotSupported = Errno(rawValue: 524)
}
