// SPDX-License-Identifier: Apache-2.0

internal import CVerbs

/// What a device can do, as far as registration and connections need it.
public struct DeviceAttributes: Hashable, Sendable {
    /// The firmware's version, as text.
    public let firmwareVersion: String
    /// The vendor's number (for Soft-RoCE 0xffffff).
    public let vendor: UInt32
    /// The largest memory region, in bytes.
    public let maximumRegionBytes: UInt64
    /// The most memory regions at once.
    public let maximumRegions: Int
    /// The most work requests that a queue of a queue pair holds.
    public let maximumWorkRequests: Int
    /// The most entries of a completion queue.
    public let maximumCompletions: Int
    /// The most pieces of memory that one work request gathers from or scatters to.
    public let maximumEntriesPerRequest: Int
    /// The same of an RDMA READ, where it may be fewer.
    public let maximumEntriesPerRead: Int
    /// The memory of its own that the device gives to programs, in bytes; 0 where it gives none.
    public let deviceMemoryBytes: UInt64
    /// The ports, numbered from 1.
    public let portCount: UInt8
    /// On-demand paging, as the device offers it.
    public let onDemand: OnDemandPaging

    init(_ raw: ibv_device_attr_ex) {
        let original = raw.orig_attr
        firmwareVersion = unsafe withUnsafeBytes(of: original.fw_ver) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        vendor = original.vendor_id
        maximumRegionBytes = original.max_mr_size
        maximumRegions = Int(original.max_mr)
        maximumWorkRequests = Int(original.max_qp_wr)
        maximumCompletions = Int(original.max_cqe)
        maximumEntriesPerRequest = Int(original.max_sge)
        maximumEntriesPerRead = Int(original.max_sge_rd)
        deviceMemoryBytes = raw.max_dm_size
        portCount = original.phys_port_cnt
        onDemand = OnDemandPaging(
            general: raw.odp_caps.general_caps,
            reliableConnection: raw.odp_caps.per_transport_caps.rc_odp_caps)
    }
}

/// On-demand paging (ODP): the device faults pages in when it needs them, instead of pinning them all beforehand.
public struct OnDemandPaging: Hashable, Sendable {
    /// Operations that may use an on-demand region. The corresponding C type is `enum ibv_odp_transport_cap_bits`.
    public struct Operations: OptionSet, Hashable, Sendable {
        /// The bits of `enum ibv_odp_transport_cap_bits`.
        public let rawValue: UInt32
        /// Wraps bits of `enum ibv_odp_transport_cap_bits`.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// Sending from the region.
        public static let send = Operations(rawValue: 1 << 0)
        /// Receiving into the region.
        public static let receive = Operations(rawValue: 1 << 1)
        /// RDMA WRITE into or from the region.
        public static let write = Operations(rawValue: 1 << 2)
        /// RDMA READ from or into the region.
        public static let read = Operations(rawValue: 1 << 3)
        /// Atomic operations on the region.
        public static let atomic = Operations(rawValue: 1 << 4)
    }

    /// Whether the device has on-demand paging at all.
    public let isSupported: Bool
    /// The operations of a reliable connection that may touch an on-demand region.
    public let reliableConnection: Operations

    /// Capabilities given by hand, as a test needs them.
    public init(isSupported: Bool, reliableConnection: Operations) {
        self.isSupported = isSupported
        self.reliableConnection = reliableConnection
    }

    init(general: UInt64, reliableConnection: UInt32) {
        isSupported = general & UInt64(IBV_ODP_SUPPORT.rawValue) != 0
        self.reliableConnection = Operations(rawValue: reliableConnection)
    }
}
