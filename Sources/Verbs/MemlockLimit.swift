// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import PeerMRCore

/// The limit on locked memory of this process, for people.
func memlockLimit() -> String {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(8), &limit) == 0 else { return "unknown" }
    return limit.rlim_cur == .max ? "unlimited" : ByteCount.describe(limit.rlim_cur)
}
