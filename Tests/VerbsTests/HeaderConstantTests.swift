// SPDX-License-Identifier: Apache-2.0

import CVerbs
import Testing
import Verbs

/// The numbers that this module writes down are those of the C headers that it is built against.
@Suite struct HeaderConstantTests {
    @Test func accessFlags() {
        #expect(Access.localWrite.rawValue == IBV_ACCESS_LOCAL_WRITE.rawValue)
        #expect(Access.remoteWrite.rawValue == IBV_ACCESS_REMOTE_WRITE.rawValue)
        #expect(Access.remoteRead.rawValue == IBV_ACCESS_REMOTE_READ.rawValue)
        #expect(Access.remoteAtomic.rawValue == IBV_ACCESS_REMOTE_ATOMIC.rawValue)
        #expect(Access.onDemand.rawValue == IBV_ACCESS_ON_DEMAND.rawValue)
        #expect(Access.relaxedOrdering.rawValue == IBV_ACCESS_RELAXED_ORDERING.rawValue)
    }

    @Test func completionOperations() {
        #expect(Completion.Operation.send.rawValue == IBV_WC_SEND.rawValue)
        #expect(Completion.Operation.write.rawValue == IBV_WC_RDMA_WRITE.rawValue)
        #expect(Completion.Operation.read.rawValue == IBV_WC_RDMA_READ.rawValue)
        #expect(Completion.Operation.receive.rawValue == IBV_WC_RECV.rawValue)
        #expect(
            Completion.Operation.receiveWriteWithImmediate.rawValue
                == IBV_WC_RECV_RDMA_WITH_IMM.rawValue)
    }

    @Test func onDemandOperations() {
        #expect(OnDemandPaging.Operations.send.rawValue == IBV_ODP_SUPPORT_SEND.rawValue)
        #expect(OnDemandPaging.Operations.receive.rawValue == IBV_ODP_SUPPORT_RECV.rawValue)
        #expect(OnDemandPaging.Operations.write.rawValue == IBV_ODP_SUPPORT_WRITE.rawValue)
        #expect(OnDemandPaging.Operations.read.rawValue == IBV_ODP_SUPPORT_READ.rawValue)
        #expect(OnDemandPaging.Operations.atomic.rawValue == IBV_ODP_SUPPORT_ATOMIC.rawValue)
    }

    @Test func connectionEvents() {
        let pairs: [(ConnectionEvent.Kind, rdma_cm_event_type)] = [
            (.addressResolved, RDMA_CM_EVENT_ADDR_RESOLVED), (.addressError, RDMA_CM_EVENT_ADDR_ERROR),
            (.routeResolved, RDMA_CM_EVENT_ROUTE_RESOLVED), (.routeError, RDMA_CM_EVENT_ROUTE_ERROR),
            (.connectRequest, RDMA_CM_EVENT_CONNECT_REQUEST), (.connectError, RDMA_CM_EVENT_CONNECT_ERROR),
            (.unreachable, RDMA_CM_EVENT_UNREACHABLE), (.rejected, RDMA_CM_EVENT_REJECTED),
            (.established, RDMA_CM_EVENT_ESTABLISHED), (.disconnected, RDMA_CM_EVENT_DISCONNECTED),
            (.deviceRemoval, RDMA_CM_EVENT_DEVICE_REMOVAL), (.addressChange, RDMA_CM_EVENT_ADDR_CHANGE),
            (.timeWaitExit, RDMA_CM_EVENT_TIMEWAIT_EXIT),
        ]
        for (kind, raw) in pairs {
            #expect(kind.rawValue == raw.rawValue)
            #expect(kind.description.hasPrefix("RDMA_CM_EVENT_"), "\(kind)")
        }
    }

    @Test(arguments: [16, 17, 255, UInt32.max] as [UInt32])
    func anUnknownConnectionEventPrintsItsNumber(_ number: UInt32) {
        #expect(ConnectionEvent.Kind(rawValue: number).description == "connection event \(number)")
    }

    @Test(
        arguments: [
            (1, 256), (2, 512), (3, 1024), (4, 2048), (5, 4096), (0, 0), (6, 0), (UInt32.max, 0),
        ] as [(UInt32, Int)])
    func pathMTUs(_ code: UInt32, _ bytes: Int) {
        #expect(PathMTU(rawValue: code).bytes == bytes)
    }
}
