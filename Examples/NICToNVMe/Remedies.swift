// SPDX-License-Identifier: Apache-2.0

import PeerMR

extension PeerMRError {
    /// A library's error, whose remedy names the option of this program that does what it says.
    var namingOption: PeerMRError {
        let option: String
        switch (call, code) {
        case ("open", .busy), ("blkid_do_safeprobe", .busy): option = "--overwrite"
        case ("rdma_listen", .busy), ("rdma_connect", .refused): option = "--port"
        // Without a call, only keys are not permitted, and only a server's answer is a refusal.
        case (nil, .notPermitted): option = "--key-file"
        case (nil, .refused): option = "--allow there"
        default: return self
        }
        let remedy = [remedy, "(\(option))"].compactMap { $0 }.joined(separator: " ")
        return PeerMRError(code, call: call, errno: errno, reason: reason, remedy: remedy, origin: origin)
    }
}
