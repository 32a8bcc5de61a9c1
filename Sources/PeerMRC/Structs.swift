// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// Structs of the header, which grow at their end from version to version. Each begins with the size that its owner was
/// compiled with.
enum Structs {
    /// A greater size is none, but memory that was never set.
    static let limit = 4096

    /// Takes a struct to be filled, and clears it.
    ///
    /// - Parameters:
    ///   - first: its size in the first version that had it, in bytes.
    /// - Throws: `invalidArgument` for NULL, and a size that is none.
    static func validate<Value>(
        _ out: UnsafeMutablePointer<Value>?, _ name: String, first: Int = MemoryLayout<Value>.size
    ) throws(PeerMRError) -> UnsafeMutablePointer<Value> {
        guard let out = unsafe out else { throw .null("struct \(name)") }
        let size = unsafe Self.size(of: out)
        guard (first...limit).contains(size) else { throw .structSize(name, size, first, limit) }
        unsafe clear(out, from: MemoryLayout<Int>.size)
        return unsafe out
    }

    /// The same for a struct that has grown: it may end before a member that was not in its first version.
    static func validate<Value, Member>(
        _ out: UnsafeMutablePointer<Value>?, _ name: String, before member: KeyPath<Value, Member>
    ) throws(PeerMRError) -> UnsafeMutablePointer<Value> {
        let first = MemoryLayout<Value>.offset(of: member) ?? MemoryLayout<Value>.size
        return unsafe try validate(out, name, first: first)
    }

    /// Fills a struct that ``validate(_:_:first:)`` has taken: no more than its owner knows, and zeros where the
    /// library knows less.
    static func fill<Value: BitwiseCopyable>(_ out: UnsafeMutablePointer<Value>, _ value: Value) {
        let size = unsafe Self.size(of: out)
        let start = MemoryLayout<Int>.size
        let known = min(size, MemoryLayout<Value>.size)
        unsafe withUnsafeBytes(of: value) { bytes in
            guard let from = bytes.baseAddress else { return }
            unsafe UnsafeMutableRawPointer(out).advanced(by: start)
                .copyMemory(from: from.advanced(by: start), byteCount: known - start)
        }
    }

    /// Reads a struct of the application's.
    ///
    /// - Throws: `invalidArgument` for a size that is none, and for members that are set and not known here.
    static func read<Value: BitwiseCopyable>(
        _ pointer: UnsafePointer<Value>, _ name: String, first: Int = MemoryLayout<Value>.size, into value: inout Value
    ) throws(PeerMRError) {
        let size = unsafe UnsafeRawPointer(pointer).loadUnaligned(as: Int.self)
        guard (first...limit).contains(size) else { throw .structSize(name, size, first, limit) }
        let bytes = unsafe UnsafeRawBufferPointer(start: pointer, count: size)
        let known = min(size, MemoryLayout<Value>.size)
        for index in known..<size where unsafe bytes[index] != 0 { throw .unknownMembers(name) }
        unsafe withUnsafeMutableBytes(of: &value) { unsafe $0.copyMemory(from: .init(rebasing: bytes[..<known])) }
    }

    private static func size<Value>(of out: UnsafeMutablePointer<Value>) -> Int {
        unsafe UnsafeRawPointer(out).loadUnaligned(as: Int.self)
    }

    private static func clear<Value>(_ out: UnsafeMutablePointer<Value>, from start: Int) {
        let size = unsafe size(of: out)
        _ = unsafe UnsafeMutableRawPointer(out).advanced(by: start)
            .initializeMemory(as: UInt8.self, repeating: 0, count: size - start)
    }
}
