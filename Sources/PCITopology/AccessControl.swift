// SPDX-License-Identifier: Apache-2.0

/// Access control services of a function: absent, set to something, or not to be read.
public enum AccessControl: Hashable, Sendable {
    /// Why it cannot be known.
    public enum UnreadableReason: String, Hashable, Sendable {
        /// The extended part needs CAP_SYS_ADMIN in the initial user namespace.
        case needsPrivilege
        /// The file ends in the middle of the list of capabilities.
        case cutOff
        /// The configuration space is missing or cannot be opened.
        case unreadable
        /// The function reads as all ones: it is gone, or asleep.
        case dead
    }

    /// It has no such capability.
    case absent
    /// It has, and this is what is switched on.
    case control(ACSControl)
    /// It cannot be known.
    case unknown(UnreadableReason)

    /// Whether it sends peer-to-peer requests up; nil where that cannot be known.
    public var redirects: Bool? {
        switch self {
        case .absent: false
        case .control(let control): !control.isDisjoint(with: .redirecting)
        case .unknown: nil
        }
    }
}

extension AccessControl.UnreadableReason {
    /// For a sentence.
    var words: String {
        switch self {
        case .needsPrivilege: "the kernel shows it to CAP_SYS_ADMIN only"
        case .cutOff: "its configuration space is cut off"
        case .unreadable: "its configuration space is missing"
        case .dead: "it does not answer"
        }
    }

    /// What makes it known; nil where nothing that is known does.
    var remedy: String? {
        switch self {
        case .needsPrivilege: "run this as root, or capture the machine as root"
        case .cutOff:
            "capture the machine as root (sudo peermr snapshot FILE): the kernel shows others the first 64 bytes"
        case .unreadable: "capture its file config too, as root"
        case .dead: nil
        }
    }
}
