// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// An RDMA device of this machine, by name. A value: opening it gives the ``Context`` to work with.
public struct Device: Hashable, Sendable, CustomStringConvertible {
    /// The kernel's name, for example `mlx5_0` or `rxe0`.
    public let name: String

    /// Names a device; whether there is such a one shows when it is opened.
    public init(name: String) { self.name = name }

    /// The name.
    public var description: String { name }

    /// The RDMA devices that libibverbs finds a provider for, in its order.
    ///
    /// - Throws: ENOSYS where the kernel has no verbs (module ib_uverbs), EPERM, ENOMEM.
    ///   The corresponding C function is `ibv_get_device_list`.
    public static func all() throws(PeerMRError) -> [Device] {
        var count: Int32 = 0
        guard let list = unsafe ibv_get_device_list(&count) else {
            throw .listDevices(currentErrno())
        }
        defer { unsafe ibv_free_device_list(list) }
        var devices: [Device] = []
        for index in 0..<Int(count) {
            guard let device = unsafe list[index], let name = unsafe ibv_get_device_name(device)
            else { continue }
            devices.append(Device(name: unsafe String(cString: name)))
        }
        return devices
    }

    /// Opens the device.
    ///
    /// - Throws: `notFound` when it is gone; EACCES or EPERM without rights on `/dev/infiniband/uverbsN`.
    ///   The corresponding C function is `ibv_open_device`.
    public func open() throws(PeerMRError) -> Context {
        var count: Int32 = 0
        guard let list = unsafe ibv_get_device_list(&count) else {
            throw .listDevices(currentErrno())
        }
        defer { unsafe ibv_free_device_list(list) }
        for index in 0..<Int(count) {
            guard let device = unsafe list[index], let found = unsafe ibv_get_device_name(device),
                unsafe String(cString: found) == name
            else { continue }
            guard let raw = unsafe ibv_open_device(device) else {
                throw .openDevice(currentErrno(), name)
            }
            return unsafe Context(raw: raw, owned: true)
        }
        throw .noSuchDevice(name)
    }
}
