// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

public import CPeerMR
internal import PCITopology
internal import PeerMR
internal import PeerMemory
internal import Verbs

extension Answer.Outcome {
    var inC: peermr_outcome {
        switch self {
        case .yes: PEERMR_YES
        case .no: PEERMR_NO
        case .unknown: PEERMR_UNKNOWN
        }
    }
}

extension MapType {
    var inC: peermr_map_type {
        switch self {
        case .busAddress: PEERMR_MAP_BUS_ADDRESS
        case .throughHostBridge: PEERMR_MAP_THROUGH_HOST_BRIDGE
        case .notSupported: PEERMR_MAP_NOT_SUPPORTED
        case .unknown: PEERMR_MAP_UNKNOWN
        }
    }
}

extension MemoryKind {
    /// Memory of the NIC itself is not for C.
    var inC: peermr_kind {
        switch self {
        case .host: PEERMR_KIND_HOST
        case .p2pmem: PEERMR_KIND_P2PMEM
        case .dmabuf: PEERMR_KIND_DMABUF
        case .nic: peermr_kind(0)
        }
    }
}

extension MemoryOwner {
    /// Memory of the NIC itself is not for C.
    var inC: peermr_owner {
        switch self {
        case .host: PEERMR_OWNER_HOST
        case .peer: PEERMR_OWNER_PEER
        case .nic, .unknown: PEERMR_OWNER_UNKNOWN
        }
    }
}

extension Method {
    /// Memory of the NIC itself is not for C.
    var inC: peermr_method {
        switch self {
        case .pinned: PEERMR_METHOD_PINNED
        case .onDemand: PEERMR_METHOD_ON_DEMAND
        case .dmaBuf: PEERMR_METHOD_DMABUF
        case .deviceMemory: peermr_method(0)
        }
    }
}

extension Proof.State {
    var inC: peermr_proof_state {
        switch self {
        case .registered: PEERMR_PROOF_NOT_TESTED
        case .proven: PEERMR_PROOF_PROVEN
        case .disproven: PEERMR_PROOF_DISPROVEN
        case .unknown: PEERMR_PROOF_UNKNOWN
        }
    }
}

extension Proof.Way {
    var inC: peermr_proof_state {
        switch self {
        case .proven: PEERMR_PROOF_PROVEN
        case .disproven: PEERMR_PROOF_DISPROVEN
        case .notTested: PEERMR_PROOF_NOT_TESTED
        }
    }
}

extension Finding.Code {
    /// A code that C has no number for has its name still.
    var inC: peermr_finding_code {
        switch self {
        case .sameFunction: PEERMR_FINDING_SAME_FUNCTION
        case .commonUpstream: PEERMR_FINDING_COMMON_UPSTREAM
        case .noPeerToPeer: PEERMR_FINDING_NO_PEER_TO_PEER
        case .noCommonUpstream: PEERMR_FINDING_NO_COMMON_UPSTREAM
        case .acsRedirect: PEERMR_FINDING_ACS_REDIRECT
        case .configUnreadable: PEERMR_FINDING_CONFIG_UNREADABLE
        case .cpuAllows: PEERMR_FINDING_CPU_ALLOWS
        case .cpuUnknown: PEERMR_FINDING_CPU_UNKNOWN
        case .hostBridgeListed: PEERMR_FINDING_HOST_BRIDGE_LISTED
        case .hostBridgeNotListed: PEERMR_FINDING_HOST_BRIDGE_NOT_LISTED
        case .hostBridgeUnknown: PEERMR_FINDING_HOST_BRIDGE_UNKNOWN
        case .softwareDevice: PEERMR_FINDING_SOFTWARE_DEVICE
        case .notPCI: PEERMR_FINDING_NOT_PCI
        case .composed: PEERMR_FINDING_COMPOSED
        case .paths: PEERMR_FINDING_PATHS
        case .placeUnreadable: PEERMR_FINDING_PLACE_UNREADABLE
        case .noSuchDevice: PEERMR_FINDING_NO_SUCH_DEVICE
        case .isBridge: PEERMR_FINDING_IS_BRIDGE
        case .deadDevice: PEERMR_FINDING_DEAD_DEVICE
        case .iommu: PEERMR_FINDING_IOMMU
        case .noPool: PEERMR_FINDING_NO_POOL
        case .exporterDoesNotAsk: PEERMR_FINDING_EXPORTER_DOES_NOT_ASK
        case .exporterUsesHostMemory: PEERMR_FINDING_EXPORTER_USES_HOST_MEMORY
        case .exporterUnknown: PEERMR_FINDING_EXPORTER_UNKNOWN
        case .dataDirect: PEERMR_FINDING_DATA_DIRECT
        case .dataDirectUnknown: PEERMR_FINDING_DATA_DIRECT_UNKNOWN
        default: PEERMR_FINDING_OTHER
        }
    }
}

@c @implementation
public func peermr_outcome_name(_ outcome: peermr_outcome) -> UnsafePointer<CChar>? {
    switch outcome {
    case PEERMR_YES: unsafe literal("yes")
    case PEERMR_NO: unsafe literal("no")
    case PEERMR_UNKNOWN: unsafe literal("unknown")
    default: unsafe literal("?")
    }
}

@c @implementation
public func peermr_map_type_name(_ map_type: peermr_map_type) -> UnsafePointer<CChar>? {
    switch map_type {
    case PEERMR_MAP_UNKNOWN: unsafe literal("unknown")
    case PEERMR_MAP_BUS_ADDRESS: unsafe literal("busAddress")
    case PEERMR_MAP_THROUGH_HOST_BRIDGE: unsafe literal("throughHostBridge")
    case PEERMR_MAP_NOT_SUPPORTED: unsafe literal("notSupported")
    default: unsafe literal("?")
    }
}

@c @implementation
public func peermr_method_name(_ method: peermr_method) -> UnsafePointer<CChar>? {
    switch method {
    case PEERMR_METHOD_PINNED: unsafe literal("pinned")
    case PEERMR_METHOD_ON_DEMAND: unsafe literal("onDemand")
    case PEERMR_METHOD_DMABUF: unsafe literal("dmaBuf")
    default: unsafe literal("?")
    }
}
