// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage

/// One direction of a transfer, as the server's loop drives it.
protocol Transfer: AnyObject {
    var context: TransferContext { get }
    /// Whether everything is done, and the client has been told or knows.
    var isComplete: Bool { get }
    /// Whether there is something that the client has to do.
    var awaitsClient: Bool { get }
    /// The bytes of the chunks that the client has done its part for.
    var clientBytes: UInt64 { get }
    /// Whether the client wants to have back what it has put, now.
    var wantsReadBack: Bool { get }
    func begin() throws(PeerMRError)
    func handle(_ tag: Tag, _ completion: Completion) throws(PeerMRError)
    func handle(_ completion: StorageCompletion) throws(PeerMRError)
}
