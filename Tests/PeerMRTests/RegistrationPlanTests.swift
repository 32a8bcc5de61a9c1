// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import Testing

@testable import PeerMR

/// What a plan makes of the access that is wanted.
@Suite struct RegistrationPlanTests {
    private static let device = Device(name: "rxe0")

    private func constraint(
        _ access: Access, _ nic: NICKind, _ method: PeerMR.Method = .pinned
    ) throws -> TransferConstraint {
        let choice = MethodChoice(method: method, constraint: .any, reason: "a test")
        return try RegistrationPlan(choice, nic).constraint(for: access, on: Self.device)
    }

    /// Host memory that is registered on demand is moved by the same driver in the same way.
    @Test func hostMemoryOnDemandIsKeptToWholePagesOnASoftwareDevice() throws {
        #expect(try constraint([.localWrite, .onDemand], .software) == .wholePages)
        #expect(try constraint([.localWrite], .software) == .any)
        #expect(try constraint([.localWrite, .onDemand], .device) == .any)
        #expect(try constraint([.localWrite, .onDemand], .device, .onDemand) == .any)
    }

    /// Soft-RoCE's driver has the length of an on-demand region in an int, and the kernel that of pinned pages in 32
    /// bits.
    @Test func whatIsRegisteredAtOnceHasALimit() {
        func most(_ access: Access, _ nic: NICKind, _ method: PeerMR.Method = .pinned, of limit: UInt64 = 0) -> UInt64 {
            RegistrationPlan(MethodChoice(method: method, constraint: .any, reason: "a test"), nic)
                .largestRegionBytes(access, of: limit)
        }
        #expect(most([.onDemand], .software) == (2 << 30) - 4096)
        #expect(most([.onDemand], .software, of: 1 << 20) == 1 << 20)
        #expect(most([.onDemand], .device) == .max)
        #expect(most([], .software) == UInt64(UInt32.max) * 4096)
        #expect(most([], .device, .dmaBuf) == .max)
        #expect(most([], .device, .dmaBuf, of: 1 << 30) == 1 << 30)
    }
}
