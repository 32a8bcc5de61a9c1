// SPDX-License-Identifier: Apache-2.0

public import Verbs

/// What is known about the data of a region: a registration that succeeds does not show where the bytes go.
public struct Proof: Hashable, Sendable {
    /// The outcome.
    public enum State: String, Hashable, Sendable, CaseIterable {
        /// Registered, and nothing was moved.
        case registered
        /// Bytes went both ways, as far as the access allows, and arrived.
        case proven
        /// Bytes did not arrive, or others did.
        case disproven
        /// The owner cannot read the bytes: the NIC read back what it had written, wherever that was.
        case unknown
    }

    /// One way.
    public enum Way: String, Hashable, Sendable, CaseIterable {
        /// The bytes arrived.
        case proven
        /// They did not.
        case disproven
        /// It was not tried: the access does not allow it, or the owner cannot.
        case notTested
    }

    /// The outcome.
    public let state: State
    /// Whether the bytes that the NIC wrote arrived, as the memory's owner reads them.
    public let intoMemory: Way
    /// Whether the NIC reads the bytes that the memory's owner wrote.
    public let outOfMemory: Way
    /// Whose memory it is: over memory that may be the host's, a proof does not show that a device's was reached.
    public let owner: MemoryOwner
    /// Where in the region the first wrong byte is; nil where none was found.
    public let firstDifference: Int?
    /// How many bytes of the region were compared.
    public let byteCount: Int
    /// How long it took, in nanoseconds.
    public let nanoseconds: UInt64
    /// The reason, without a full stop.
    public let reason: String

    /// Nothing has been tried.
    public static let none = Proof(
        state: .registered, intoMemory: .notTested, outOfMemory: .notTested, owner: .unknown, firstDifference: nil,
        byteCount: 0, nanoseconds: 0, reason: "no data was moved")

    /// The last of the four answers.
    public var answer: Answer {
        switch state {
        case .registered:
            Answer(.unknown, "not proven: \(reason)", remedy: "prove the region, or move data and compare it")
        case .proven: Answer(.yes, reason)
        case .disproven:
            Answer(
                .no, reason,
                remedy:
                    "do not use this region: what is written through it goes elsewhere; see peermr check for the route"
            )
        case .unknown: Answer(.unknown, reason, remedy: "let the program that owns the memory compare it")
        }
    }
}

/// How to prove a region.
public struct ProofOptions: Hashable, Sendable {
    /// How many bytes at its beginning and once more at its end; fewer where the region is shorter.
    public var byteCount: Int
    /// The longest wait for the NIC to finish one transfer, of which there are some ten, in milliseconds.
    public var timeoutMilliseconds: Int

    /// Options of your own.
    public init(byteCount: Int = 64 << 10, timeoutMilliseconds: Int = 10_000) {
        self.byteCount = byteCount
        self.timeoutMilliseconds = timeoutMilliseconds
    }
}
