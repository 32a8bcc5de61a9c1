// SPDX-License-Identifier: Apache-2.0

/// What is known about the data of a region: that it was registered says nothing of where bytes go.
public struct Proof: Hashable, Sendable {
    /// What has become of it.
    public enum State: String, Hashable, Sendable, CaseIterable {
        /// Registered, and nothing was moved.
        case registered
        /// Bytes went both ways, as far as the access allows, and were seen on the other side.
        case proven
        /// Bytes did not arrive, or others did.
        case disproven
        /// The owner has no way to the bytes: the NIC got back what it had written, from wherever that was.
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

    /// What has become of it.
    public let state: State
    /// What the NIC wrote, looked at by the memory's owner.
    public let intoMemory: Way
    /// What the memory's owner wrote, read by the NIC.
    public let outOfMemory: Way
    /// Where in the region the first wrong byte is; nil where none was found.
    public let firstDifference: Int?
    /// How many bytes of the region were looked at.
    public let byteCount: Int
    /// How long it took, in nanoseconds.
    public let nanoseconds: UInt64
    /// Why, in a sentence without a full stop.
    public let reason: String

    /// Nothing has been tried.
    public static let none = Proof(
        state: .registered, intoMemory: .notTested, outOfMemory: .notTested, firstDifference: nil, byteCount: 0,
        nanoseconds: 0, reason: "no data was moved")

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

/// How a region is to be proven.
public struct ProofOptions: Hashable, Sendable {
    /// How much of it, in bytes, at its beginning and once more at its end; less where the region is shorter.
    public var byteCount: Int
    /// The longest wait for the NIC to finish one transfer, of which there are some ten, in milliseconds.
    public var timeoutMilliseconds: Int

    /// Options of your own.
    public init(byteCount: Int = 64 << 10, timeoutMilliseconds: Int = 10_000) {
        self.byteCount = byteCount
        self.timeoutMilliseconds = timeoutMilliseconds
    }
}
