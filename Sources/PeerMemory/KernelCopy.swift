// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import SystemPackage
internal import PeerMRCore

/// Copies by the kernel, to and from mappings whose memory may be gone: EFAULT where a load would raise SIGBUS.
enum KernelCopy {
    static func read(
        _ address: UInt, into bytes: inout MutableRawSpan, _ provider: PCIAddress?
    ) throws(PeerMRError) {
        let result = unsafe bytes.withUnsafeMutableBytes { local in
            unsafe copy(local.baseAddress, UnsafeRawPointer(bitPattern: address), local.count)
        }
        if let result { throw .mappingLost(result, provider) }
    }

    static func write(_ bytes: RawSpan, _ address: UInt, _ provider: PCIAddress?) throws(PeerMRError) {
        let result = unsafe bytes.withUnsafeBytes { local in
            unsafe copy(UnsafeMutableRawPointer(bitPattern: address), local.baseAddress, local.count)
        }
        if let result { throw .mappingLost(result, provider) }
    }

    /// - Returns: nil, or the errno.
    private static func copy(_ to: UnsafeMutableRawPointer?, _ from: UnsafeRawPointer?, _ count: Int) -> Errno? {
        guard let to = unsafe to, let from = unsafe from, count > 0 else { return nil }
        return unsafe peermr_copy_by_kernel(to, from, count) == 0 ? nil : currentErrno()
    }
}
