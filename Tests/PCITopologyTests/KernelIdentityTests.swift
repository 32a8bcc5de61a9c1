// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import Testing

@testable import PCITopology

/// Whose kernel it is, by its release.
@Suite struct KernelIdentityTests {
    @Test(arguments: [
        ("7.3.4", 7, 3, 4), ("6.18", 6, 18, 0), ("7.2.0-rc3", 7, 2, 0), ("7.2-rc3", 7, 2, 0),
    ])
    func plainKernels(_ text: String, _ major: Int, _ minor: Int, _ patch: Int) throws {
        let kernel = try #require(KernelIdentity(release: text))
        #expect(kernel.origin == .upstream && kernel.release == KernelRelease(major, minor) && kernel.patch == patch)
        #expect(kernel.isCandidate == text.contains("rc"))
    }

    @Test(arguments: [
        ("6.12.117+deb13-amd64", 117), ("7.3.4+deb13-amd64", 4), ("6.12.117+deb13+1-arm64-16k", 117),
        ("7.1.3+deb14-rt-amd64", 3), ("6.1.0-18-amd64", nil), ("5.10.0-28-686-pae", nil), ("5.10.0-28-armmp-lpae", nil),
        ("6.1.0-0.deb11.7-amd64", nil), ("6.9.7+bpo-amd64", 7), ("6.12.9+deb13-powerpc64le", 9),
    ] as [(String, Int?)])
    func debian(_ text: String, _ patch: Int?) throws {
        let kernel = try #require(KernelIdentity(release: text))
        #expect(kernel.origin == .debian && kernel.patch == patch)
    }

    @Test(arguments: [
        "7.3.4+", "7.3.4-custom", "6.8.0-60-generic", "6.8.0-1030-azure", "6.8.0-1021-nvidia-64k", "6.14.0-1008-aws",
        "6.8.0-1030-gcp", "5.15.0-3.60.5.el9uek.x86_64", "5.14.0-503.11.1.el9_5.x86_64", "6.12.0-237.el10.x86_64",
        "6.12.9-200.fc41.x86_64", "6.12.9-arch1-1", "6.6.0-an8", "6.6.0-72.0.0.76.oe2403.x86_64",
        "6.4.0-150600.23.47-default", "6.12.25-talos", "6.8.12-4-pve", "6.6.15-amd64", "6.12.9+kali-amd64",
        "6.1.0-18-cloud-amd64", "6.12.117+deb13-cloud-amd64", "6.6.87.2-microsoft-standard-WSL2", "6.18.44-fc-v509",
        "7.2.0-rc3+", "7.2.0-rc", "6.9.7-1.el9.elrepo.x86_64", "7.3.4 ", "7.3.4-", "7.3.4--amd64",
    ])
    func others(_ text: String) throws {
        #expect(try #require(KernelIdentity(release: text)).origin == .vendor)
    }

    @Test(arguments: ["4.4.0", "4.19.0-gvisor"])
    func noKernels(_ text: String) throws {
        #expect(try #require(KernelIdentity(release: text)).origin == .emulated)
    }

    @Test func enterpriseBuilds() throws {
        let kernel = try #require(KernelIdentity(release: "5.14.0-503.11.1.el9_5.x86_64"))
        #expect(kernel.enterprise == 9 && kernel.build == 503 && kernel.patch == 0)
        #expect(KernelIdentity(release: "5.14.0-362.el9.x86_64")?.build == 362)
        #expect(KernelIdentity(release: "5.15.0-3.60.5.el9uek.x86_64")?.enterprise == nil)
        #expect(KernelIdentity(release: "6.8.0-60-generic")?.build == nil)
    }

    /// A capture keeps what counts, and no name.
    @Test(arguments: [
        "7.3.4", "7.2.0-rc3", "6.12.117+deb13-amd64", "6.1.0-18-amd64", "6.8.0-60-generic",
        "5.14.0-503.11.1.el9_5.x86_64", "6.12.0-237.el10.x86_64", "4.19.0-gvisor", "4.4.0", "7.3.4-acme",
    ])
    func reduced(_ text: String) throws {
        let kernel = try #require(KernelIdentity(release: text))
        #expect(KernelIdentity(release: kernel.reduced) == kernel)
        #expect(!kernel.reduced.contains("acme"))
    }

    @Test func isPrintedWithItsPatchLevel() {
        #expect(KernelIdentity(release: "7.1.3").map { "\($0)" } == "7.1.3")
        #expect(KernelIdentity(release: "6.1.0-18-amd64").map { "\($0)" } == "6.1")
    }
}
