// SPDX-License-Identifier: Apache-2.0

internal import PeerMR
internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let keysErrors = ErrorSection(
        "Keys of servers and clients",
        [
            openKey, keyIsNoFile, keyIsOpen, keyIsEmpty, keyOfOtherSize, noCode, serverWantsKey, serverHasNoKey,
            serverUnproven,
        ])

    private static let making = "make one: (umask 077; openssl rand -hex 32 > FILE), the same at both ends"

    /// See: man 2 open
    static let openKey = ErrorTable("open", facts: "path") { path in
        ErrorRow([.permissionDenied, .notPermitted], .notPermitted, "this user may not read the key in \(path)")
            .with(remedy: "give the file to the user that runs this (chown), readable by it alone")
        ErrorRow(.notFound, "the key cannot be read from \(path)", making)
    }
    static let keyIsNoFile = ErrorTable(facts: "path") { path in
        ErrorRow(.invalidArgument, "\(path) is no regular file, and holds no key", making)
    }
    static let keyIsOpen = ErrorTable(facts: "path", "mode") { path, mode in
        ErrorRow(.notPermitted, "the key in \(path) is open to other users (mode \(mode))")
            .with(remedy: "keep it to its owner: chmod 600; if others may have read it, make a new one")
    }
    static let keyIsEmpty = ErrorTable(facts: "path") { path in
        ErrorRow(.invalidArgument, "the key in \(path) is empty", making)
    }
    static let keyOfOtherSize = ErrorTable(facts: "path", "least", "most") { path, least, most in
        ErrorRow(.invalidArgument, "the key in \(path) does not have \(least) to \(most) bytes", making)
    }
    /// No memory, or a configuration of OpenSSL that has no SHA-256: nothing else is known to end here.
    static let noCode = ErrorTable("HMAC") {
        ErrorRow(.system, "libcrypto cannot compute HMAC-SHA-256")
            .with(remedy: "see whether openssl dgst -sha256 -hmac x /dev/null works here")
    }
    static let serverWantsKey = ErrorTable(facts: "server") { server in
        ErrorRow(.notPermitted, "\(server) serves owners of its key alone, and this client has none")
            .with(remedy: "take the key that the server has")
    }
    static let serverHasNoKey = ErrorTable(facts: "server") { server in
        ErrorRow(.notPermitted, "\(server) has no key: it does not prove who it is, and asks nobody to")
            .with(remedy: "start the server with this client's key, or take no key here")
    }
    static let serverUnproven = ErrorTable(facts: "server") { server in
        ErrorRow(.notPermitted, "\(server) does not have this client's key, or somebody stands between the two")
            .with(remedy: "send it nothing; see what listens there, and whether both ends have the same key")
    }
}
