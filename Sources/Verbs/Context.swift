// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// An open RDMA device. Immutable, and kept alive by everything made from it.
@safe
public final class Context: @unchecked Sendable {
    /// The C object. Valid as long as this context lives; do not close it.
    let raw: UnsafeMutablePointer<ibv_context>
    private let owned: Bool
    /// What has been found out about the device, so that nobody asks again.
    package let info: DeviceInfo

    /// Wraps an open context.
    ///
    /// - Parameters:
    ///   - owned: false for a context of librdmacm, which keeps it open as long as the process lives, and for one of
    ///     the application's.
    ///   - info: what is known of the device.
    init(raw: UnsafeMutablePointer<ibv_context>, owned: Bool, info: DeviceInfo = DeviceInfo()) {
        unsafe self.raw = raw
        self.owned = owned
        self.info = info
    }

    deinit {
        if owned { _ = unsafe ibv_close_device(raw) }
    }

    /// The device that this context is of.
    public var device: Device {
        guard let device = unsafe raw.pointee.device, let name = unsafe ibv_get_device_name(device)
        else { return Device(name: "?") }
        return Device(name: unsafe String(cString: name))
    }

    /// What the device can do.
    ///
    /// - Throws: the errno of the query. The corresponding C function is `ibv_query_device_ex`.
    public func attributes() throws(PeerMRError) -> DeviceAttributes {
        var attributes = ibv_device_attr_ex()
        let result = unsafe ibv_query_device_ex(raw, nil, &attributes)
        guard result == 0 else { throw .query("ibv_query_device_ex", Errno(rawValue: result), device) }
        return DeviceAttributes(attributes)
    }

    /// The state of a port, numbered from 1.
    ///
    /// - Throws: EINVAL for a port that the device does not have. The corresponding C function is `ibv_query_port`.
    public func port(_ number: UInt8) throws(PeerMRError) -> PortAttributes {
        var attributes = ibv_port_attr()
        let result = unsafe peermr_query_port(raw, number, &attributes)
        guard result == 0 else { throw .query("ibv_query_port", Errno(rawValue: result), device) }
        return PortAttributes(
            isActive: attributes.state == IBV_PORT_ACTIVE,
            mtuBytes: PathMTU(rawValue: attributes.active_mtu.rawValue).bytes,
            gidCount: Int(attributes.gid_tbl_len), localIdentifier: attributes.lid,
            isInfiniBand: attributes.link_layer == UInt8(IBV_LINK_LAYER_INFINIBAND),
            requiresGID: UInt32(attributes.flags) & IB_UVERBS_QPF_GRH_REQUIRED.rawValue != 0)
    }

    /// Whether the device's connections are TCP connections (iWARP), which have no GIDs.
    public var isIWARP: Bool { unsafe raw.pointee.device.pointee.transport_type == IBV_TRANSPORT_IWARP }

    /// An entry of the port's GID table.
    ///
    /// - Throws: the errno of the query. The corresponding C function is `ibv_query_gid`.
    public func gid(port: UInt8, index: Int) throws(PeerMRError) -> GID {
        var gid = ibv_gid()
        let result = unsafe ibv_query_gid(raw, port, Int32(clamping: index), &gid)
        guard result == 0 else {
            throw .query("ibv_query_gid", currentErrno(), device)
        }
        return unsafe GID(bytes: withUnsafeBytes(of: &gid) { unsafe Array($0) })
    }
}
