// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import PeerMRCore
import TestSupport
import Testing

@testable import PeerStorage

/// What can be said of NVMe passthrough without a drive.
@Suite struct PassthroughTests {
    @Test(arguments: [
        ("nvme0n1", "/dev/ng0n1"), ("nvme12n34", "/dev/ng12n34"), ("nvme0n1p1", nil), ("nvme0", nil), ("sda", nil),
        ("nvmen1", nil), ("nvme0n", nil), ("nvme0c0n1", nil), ("loop0", nil), ("", nil),
    ])
    func characterDevices(_ name: String, _ node: String?) {
        #expect(PassthroughQueue.characterDevice(of: name) == node.map { FilePath($0) })
    }

    @Test func completions() {
        #expect(PassthroughCompletion(tag: 1, result: 0).errno == nil)
        #expect(PassthroughCompletion(tag: 1, result: -22).errno == .invalidArgument)
        #expect(PassthroughCompletion(tag: 1, result: -22).status == nil)
        // The drive's "do not retry" bit stands above code and type.
        let failed = PassthroughCompletion(tag: 1, result: 0x4012)
        #expect(failed.errno == .ioError && failed.status == 0x12)
    }

    @Test func ringsOfOldKernels() {
        #expect(PeerMRError.openCommandRing(.invalidArgument).code == .notSupported)
        #expect(PeerMRError.openCommandRing(.invalidArgument).remedy?.contains("Linux 5.19") == true)
        #expect(PeerMRError.openCommandRing(.noMemory).code == .resourceLimit)
    }
}
