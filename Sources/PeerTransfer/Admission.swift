// SPDX-License-Identifier: Apache-2.0

public import PeerMR

/// Who asks for a connection: what it says, and where its queue pair's packets go whatever it says.
public struct Applicant: Sendable {
    /// The address that the client has named, or connects from; nil where it has named none.
    public var claim: HostAddress?
    /// The path of the queue pair; nil where no GID leads to the client.
    public var path: ConnectionPath?
    /// Whether the claim is a TCP connection's, which has been answered from there: iWARP.
    public var isOverTCP: Bool
    /// Whether GIDs stand for no IP addresses: on InfiniBand lists name the GIDs themselves.
    public var isInfiniBand: Bool
    /// Whether the client is known to be this host's by other means, such as a TCP connection from its own address.
    public var isFromHere: Bool
    /// Whether the queue pair is led to the local identifier (LID) of the server's own port, where it has no GID.
    public var leadsBack: Bool

    /// Facts given one by one.
    public init(
        claim: HostAddress?, path: ConnectionPath?, isOverTCP: Bool = false, isInfiniBand: Bool = false,
        isFromHere: Bool = false, leadsBack: Bool = false
    ) {
        self.claim = claim
        self.path = path
        self.isOverTCP = isOverTCP
        self.isInfiniBand = isInfiniBand
        self.isFromHere = isFromHere
        self.leadsBack = leadsBack
    }
}

extension AllowList {
    /// Why a client is not served.
    public enum Objection: Error, Hashable {
        /// There is no path with a GID: what was claimed cannot be compared with anything.
        case noPath
        /// The path leads to another address than the one claimed.
        case otherAddress(HostAddress?)
        /// The address is not one of those that are served.
        case notListed
    }

    /// Decides what a client may do, by the path of its queue pair.
    ///
    /// An address that a client writes into its request is only a claim: it counts where the server's own packets go
    /// there. This host's own clients may do everything unless an entry says otherwise; they are those whose path
    /// leads back to the port that it comes from.
    public func admit(_ applicant: Applicant) throws(Objection) -> Grant {
        guard !applicant.isOverTCP else {
            if let grant = applicant.claim.flatMap(grant) { return grant }
            guard applicant.isFromHere else { throw .notListed }
            return Grant()
        }
        guard let path = applicant.path, let address = HostAddress(path.remote), !path.remote.isEmpty else {
            // Packets by LID stay in one subnet, and no list names them: only those that come back are known.
            guard applicant.leadsBack, applicant.isFromHere else { throw .noPath }
            return Grant()
        }
        let isOwn = path.remote == path.local
        if !applicant.isInfiniBand, applicant.claim != address, !(isOwn && applicant.isFromHere) {
            throw .otherAddress(address)
        }
        if let grant = grant(address) { return grant }
        guard isOwn else { throw .notListed }
        return Grant()
    }
}

extension AllowList.Objection: CustomStringConvertible {
    /// For the server's own log.
    public var description: String {
        switch self {
        case .noPath: Refusal.Code.noPath.words
        case .otherAddress(let address): Refusal.Code.otherAddress.words + (address.map { " (\($0))" } ?? "")
        case .notListed: Refusal.Code.notAllowed.words
        }
    }
}
