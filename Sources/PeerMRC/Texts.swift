// SPDX-License-Identifier: Apache-2.0

internal import CPeerMR
internal import CThreadTexts
internal import SystemPackage
internal import PeerMRCore

/// Texts for C that live as long as this object.
@safe
final class Texts: @unchecked Sendable {
    private var owned: [UnsafeMutablePointer<CChar>] = unsafe []

    /// Copies a text. Only while its owner is being made: later it is read by any thread.
    func keep(_ text: String) -> UnsafePointer<CChar> {
        let bytes = Self.bytes(text)
        let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
        for (index, byte) in bytes.enumerated() { unsafe (copy + index).initialize(to: CChar(bitPattern: byte)) }
        unsafe owned.append(copy)
        return unsafe UnsafePointer(copy)
    }

    deinit {
        unsafe owned.forEach { unsafe $0.deallocate() }
    }

    /// UTF-8 with one 0 byte, which is at the end.
    static func bytes(_ text: String) -> [UInt8] {
        text.utf8.filter { $0 != 0 } + [0]
    }
}

/// What a thread is told, until it is told something else.
enum ThreadTexts {
    private static let errorSlot: UInt32 = 0
    private static let resultSlot: UInt32 = 1

    /// - Parameter keeping: whether texts of the last failure that the application has stay valid, until
    ///   ``releaseKept()``.
    static func setError(_ error: PeerMRError, keeping: Bool) {
        set(
            errorSlot, keeping, Int32(bitPattern: error.status.rawValue), error.errno?.rawValue ?? 0,
            [error.call ?? "", error.reason, error.remedy ?? "", error.description])
    }

    static func releaseKept() { peermr_thread_texts_release() }

    static var error: UnsafePointer<peermr_thread_record>? { unsafe peermr_thread_record_get(errorSlot) }

    /// Texts of a result that has no owner: what C sees of them.
    static func result(_ texts: String...) -> UnsafePointer<peermr_thread_record>? {
        set(resultSlot, false, 0, 0, texts)
        return unsafe peermr_thread_record_get(resultSlot)
    }

    private static func set(_ slot: UInt32, _ keeps: Bool, _ first: Int32, _ second: Int32, _ texts: [String]) {
        let packed = texts.flatMap { Texts.bytes($0) }
        unsafe packed.withUnsafeBytes { bytes in
            unsafe peermr_thread_record_set(
                slot, keeps ? 1 : 0, first, second, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        }
    }
}
