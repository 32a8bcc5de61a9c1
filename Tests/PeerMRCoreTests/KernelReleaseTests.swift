// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import Testing

@Suite struct KernelReleaseTests {
    @Test(arguments: [
        ("6.12.48+deb13-amd64", 6, 12), ("7.3.4", 7, 3), ("6.16-rc1", 6, 16), ("6.15", 6, 15),
        ("10.0.1-custom.build", 10, 0), ("5.15.0-119-generic", 5, 15), ("6.6.87.2-microsoft-standard-WSL2", 6, 6),
        ("7.0+", 7, 0),
    ])
    func readsWhatUnamePrints(_ text: String, _ major: Int, _ minor: Int) {
        #expect(KernelRelease(release: text) == KernelRelease(major, minor))
    }

    @Test(arguments: [
        "", ".", "6", "6.", ".12", "6.x", "x.12", "-6.12", "6 .12", "six.twelve", "6.-1", "6.٣",
        "99999999999999999999.1", "6.99999999999999999999", "v6.12",
    ])
    func refusesWhatDoesNotStartWithTwoNumbers(_ text: String) {
        #expect(KernelRelease(release: text) == nil)
    }

    @Test func ordersByNumberNotByText() {
        let sorted = [(6, 2), (6, 12), (6, 15), (6, 16), (7, 0), (7, 3), (10, 0)].map {
            KernelRelease($0.0, $0.1)
        }
        #expect(sorted == sorted.reversed().sorted())
        #expect(KernelRelease(6, 9) < KernelRelease(6, 10))
        #expect(!(KernelRelease(6, 16) < KernelRelease(6, 16)))
    }

    @Test func isPrintedAsMajorAndMinor() {
        #expect("\(KernelRelease(6, 16))" == "6.16")
    }

    @Test func theRunningKernelHasOne() throws {
        let running = try #require(KernelRelease.running())
        #expect(running > KernelRelease(4, 0))
    }
}
