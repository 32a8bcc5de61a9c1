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
}
