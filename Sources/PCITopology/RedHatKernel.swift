// SPDX-License-Identifier: Apache-2.0

package import PeerMRCore

/// A kernel of Red Hat Enterprise Linux, or of a distribution that is built from it: newer code under an older number.
///
/// What is said of releases was read in the trees of AlmaLinux 9.0 to 10.0.
package struct RedHatKernel: Hashable, Sendable, CustomStringConvertible {
    /// The release of the distribution.
    package let major: Int
    package let minor: Int

    /// The first build of each release of 9, by which the rolling kernels of CentOS Stream are known.
    private static let firstBuilds = [70, 162, 284, 362, 427, 503, 570]

    /// Reads the kernel's release, such as `5.14.0-503.11.1.el9_5.x86_64`, or `5.14.0-480.el9.x86_64` of CentOS Stream;
    /// nil for any other one.
    package init?(release: String) {
        guard let mark = release.split(whereSeparator: { $0 == "." || $0 == "-" }).first(where: { $0.hasPrefix("el") })
        else { return nil }
        let numbers = mark.dropFirst(2).split(separator: "_", omittingEmptySubsequences: false)
        guard let major = numbers.first.flatMap({ Int($0) }) else { return nil }
        self.major = major
        if numbers.count == 2, let minor = Int(numbers[1]) {
            self.minor = minor
        } else if numbers.count == 1, major == 9, release.hasPrefix("5.14.0-"),
            let build = Int(release.dropFirst("5.14.0-".count).prefix { $0.isASCII && $0.isNumber }),
            let index = Self.firstBuilds.lastIndex(where: { $0 <= build })
        {
            minor = index
        } else {
            return nil
        }
    }

    /// That of a machine; nil where it runs another one.
    package init?(root: SystemRoot) {
        guard let release = root.attribute("proc/sys/kernel/osrelease") else { return nil }
        self.init(release: release)
    }

    /// That of the running machine; nil where it is another one.
    package static var running: RedHatKernel? { KernelRelease.runningText().flatMap { RedHatKernel(release: $0) } }

    /// Whether programs get p2pmem: from 9.3 on, under the number 5.14.
    package var givesUserMemory: Bool { (major, minor) >= (9, 3) }

    /// Its name, such as RHEL 9.5.
    package var description: String { "RHEL \(major).\(minor)" }

    /// Whether its drivers of drives get no p2pmem: it refuses the pages to them all (EREMOTEIO).
    package var refusesDirectIO: Bool { major == 9 && minor == 5 }

    /// Whether it pins p2pmem as any other memory: there `ibv_reg_mr` works wherever its check of the route
    /// (dma_map_sg) allows, EREMOTEIO where not.
    package var pinsPeerMemory: Bool { major == 9 && (3...4).contains(minor) }
}
