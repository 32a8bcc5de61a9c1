// SPDX-License-Identifier: Apache-2.0

import PeerMR

extension PeerMRError {
    /// A library's error, whose remedy names the option of this program that does what it says.
    var namingOption: PeerMRError {
        let option: String
        switch (call, code) {
        case ("open", .busy), ("blkid_do_safeprobe", .busy): option = "--overwrite"
        case ("rdma_listen", .busy): option = "--port"
        case ("ibv_modify_qp", .disconnected), ("ibv_modify_qp", .invalidArgument): option = "--gid-index"
        default: return self
        }
        let remedy = [remedy, "(\(option))"].compactMap { $0 }.joined(separator: " ")
        return PeerMRError(code, call: call, errno: errno, reason: reason, remedy: remedy, origin: origin)
    }
}
