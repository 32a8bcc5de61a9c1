// SPDX-License-Identifier: Apache-2.0

import CVerbs
import Testing
import Verbs

@Suite struct CompletionStatusTests {
    private typealias Row = (ibv_wc_status, CompletionStatus.Class)

    private static let table: [Row] = [
        (IBV_WC_SUCCESS, .success), (IBV_WC_LOC_LEN_ERR, .local), (IBV_WC_LOC_QP_OP_ERR, .local),
        (IBV_WC_LOC_EEC_OP_ERR, .local), (IBV_WC_LOC_PROT_ERR, .local), (IBV_WC_WR_FLUSH_ERR, .flushed),
        (IBV_WC_MW_BIND_ERR, .local), (IBV_WC_BAD_RESP_ERR, .local), (IBV_WC_LOC_ACCESS_ERR, .local),
        (IBV_WC_REM_INV_REQ_ERR, .remote), (IBV_WC_REM_ACCESS_ERR, .remote), (IBV_WC_REM_OP_ERR, .remote),
        (IBV_WC_RETRY_EXC_ERR, .transport), (IBV_WC_RNR_RETRY_EXC_ERR, .transport),
        (IBV_WC_LOC_RDD_VIOL_ERR, .local), (IBV_WC_REM_INV_RD_REQ_ERR, .remote),
        (IBV_WC_REM_ABORT_ERR, .remote), (IBV_WC_RESP_TIMEOUT_ERR, .transport),
        (IBV_WC_FATAL_ERR, .unknown), (IBV_WC_GENERAL_ERR, .unknown), (IBV_WC_TM_ERR, .unknown),
    ]

    @Test func everyStatusHasTheClassOfWhoMustLookIntoIt() {
        for (raw, expected) in Self.table {
            let status = CompletionStatus(rawValue: raw.rawValue)
            #expect(status.failureClass == expected, "status \(raw.rawValue)")
            #expect(!status.description.isEmpty)
            #expect(!status.hint.isEmpty)
        }
    }

    @Test func statusesHaveTheNumbersOfTheHeader() {
        #expect(CompletionStatus.success.rawValue == IBV_WC_SUCCESS.rawValue)
        #expect(CompletionStatus.localLength.rawValue == IBV_WC_LOC_LEN_ERR.rawValue)
        #expect(CompletionStatus.localProtection.rawValue == IBV_WC_LOC_PROT_ERR.rawValue)
        #expect(CompletionStatus.flushed.rawValue == IBV_WC_WR_FLUSH_ERR.rawValue)
        #expect(CompletionStatus.remoteInvalidRequest.rawValue == IBV_WC_REM_INV_REQ_ERR.rawValue)
        #expect(CompletionStatus.remoteAccess.rawValue == IBV_WC_REM_ACCESS_ERR.rawValue)
        #expect(CompletionStatus.remoteOperation.rawValue == IBV_WC_REM_OP_ERR.rawValue)
        #expect(CompletionStatus.retryExceeded.rawValue == IBV_WC_RETRY_EXC_ERR.rawValue)
        #expect(CompletionStatus.receiverNotReady.rawValue == IBV_WC_RNR_RETRY_EXC_ERR.rawValue)
    }

    @Test func namedFailuresHaveAHintOfTheirOwn() {
        let named: [CompletionStatus] = [
            .success, .localLength, .localProtection, .flushed, .remoteInvalidRequest, .remoteAccess,
            .remoteOperation, .retryExceeded, .receiverNotReady,
        ]
        #expect(Set(named.map(\.hint)).count == named.count)
        #expect(!named.map(\.hint).contains { $0.contains("ibv_wc_status_str") })
        #expect(Set(named.map(\.description)).count == named.count)
    }

    /// Firmware is newer than any table: a number that nobody knows is printed, never trapped on.
    @Test(arguments: [24, 25, 100, 255, 256, 0x8000_0000, UInt32.max] as [UInt32])
    func anUnknownStatusPrintsItsNumber(_ number: UInt32) {
        let status = CompletionStatus(rawValue: number)
        #expect(status.description == "completion status \(number)")
        #expect(status.failureClass == .unknown)
        #expect(!status.hint.isEmpty)
        #expect(status != .success)
    }
}
