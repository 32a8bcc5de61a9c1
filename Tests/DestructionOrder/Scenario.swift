// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR

/// One way to make things and to let go of them.
struct Scenario: Sendable {
    /// What is done, in a few words.
    let name: String
    /// The calls that must destroy it all, in any order that puts children before parents: the fake watches that.
    let calls: [String]
    private let body: @Sendable () throws -> Void

    init(_ name: String, _ calls: [String], _ body: @escaping @Sendable () throws -> Void) {
        self.name = name
        self.calls = calls
        self.body = body
    }

    /// Runs it on a machine of its own; empty where all went as it should.
    func faults() -> [String] {
        fake_verbs_begin()
        defer { fake_verbs_end() }
        var faults: [String] = []
        do { try body() } catch { faults.append("\(error)") }
        faults += Self.texts(fake_verbs_complaint)
        for kind in 0..<FAKE_KINDS.rawValue where fake_verbs_live(fake_kind(rawValue: kind)) > 0 {
            faults.append("\(fake_verbs_live(fake_kind(rawValue: kind))) objects of kind \(kind) are left")
        }
        let found = Self.teardown
        if found.sorted() != calls.sorted() { faults.append("\(found) instead of \(calls)") }
        return faults
    }

    /// The calls so far that destroyed something.
    static var teardown: [String] {
        let verbs = ["ibv_de", "ibv_close", "rdma_destroy"]
        return texts(fake_verbs_journal).filter { call in verbs.contains { call.hasPrefix($0) } }
    }

    private static func texts(_ read: (UInt32) -> UnsafePointer<CChar>?) -> [String] {
        var texts: [String] = []
        while let text = read(UInt32(texts.count)) { texts.append(String(cString: text)) }
        return texts
    }
}

/// Something of a scenario that is not as it should be.
struct Fault: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Checks in the middle of a scenario.
func expect(_ condition: Bool, _ what: String) throws {
    if !condition { throw Fault(what) }
}
