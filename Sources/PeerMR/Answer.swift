// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// One of the four answers: yes, no or unknown, why, and what changes it.
public struct Answer: Hashable, Sendable {
    /// What is answered.
    public enum Outcome: String, Hashable, Sendable, CaseIterable {
        case yes, no, unknown
    }

    /// What is answered.
    public let outcome: Outcome
    /// Why, in a sentence.
    public let reason: String
    /// What changes it, as an instruction or a command; nil where nothing does, or nothing needs to.
    public let remedy: String?

    /// An answer given by its parts. Names and paths in them may be as they came: what a terminal acts upon becomes a
    /// question mark.
    public init(_ outcome: Outcome, _ reason: String, remedy: String? = nil) {
        self.outcome = outcome
        self.reason = reason.printable
        self.remedy = remedy?.printable
    }
}
