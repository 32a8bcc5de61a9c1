// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import PeerMRCore

/// How many descriptors this process has open on files whose path, or name in memory, begins so. All descriptors would
/// be too many to count: other tests open and close theirs meanwhile.
public func openFiles(_ beginnings: String...) -> Int {
    (0..<Int32(1024)).count { descriptor in
        guard let file = SystemRoot.live.linkTarget("proc/self/fd/\(descriptor)")?.string else { return false }
        return beginnings.contains { file.hasPrefix($0) }
    }
}
