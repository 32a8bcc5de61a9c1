// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import CVerbs
internal import Synchronization

extension Context {
    /// Wraps a context of the application, which keeps it open as long as this object lives, and closes it.
    ///
    /// What is found out about its device is remembered from one adoption to the next; see ``AdoptedDevices``.
    ///
    /// - Parameter raw: a `struct ibv_context *` of libibverbs, which nothing can check.
    @unsafe
    package convenience init(adopting raw: UnsafeMutableRawPointer) {
        let context = unsafe raw.assumingMemoryBound(to: ibv_context.self)
        unsafe self.init(adopting: context)
    }

    @unsafe
    convenience init(adopting raw: UnsafeMutablePointer<ibv_context>) {
        let info = unsafe AdoptedDevices.shared.info(of: raw)
        unsafe self.init(raw: raw, owned: false, info: info)
    }
}

/// What is remembered of the devices whose contexts are the application's.
///
/// The address of a context is no key: an application may close it, and get another device's at the same address. The
/// key is the device: its name, and the node below `/dev` that the context's command descriptor is open on. A device
/// that goes and comes back gets another node there (of another inode), and is asked anew. A context without such a
/// descriptor is remembered by nobody.
private final class AdoptedDevices: Sendable {
    static let shared = AdoptedDevices()

    private struct Key: Hashable {
        let name: String
        let device: UInt64
        let inode: UInt64
    }

    /// More devices than a machine has; beyond, everything is asked anew.
    private static let limit = 64
    private let known = Mutex<[Key: DeviceInfo]>([:])

    @unsafe
    func info(of raw: UnsafeMutablePointer<ibv_context>) -> DeviceInfo {
        var device: UInt64 = 0
        var inode: UInt64 = 0
        let descriptor = unsafe raw.pointee.cmd_fd
        guard descriptor >= 0, unsafe peermr_file_identity(descriptor, &device, &inode) == 0,
            let found = unsafe raw.pointee.device, let name = unsafe ibv_get_device_name(found)
        else { return DeviceInfo() }
        let key = Key(name: unsafe String(cString: name), device: device, inode: inode)
        return known.withLock { known in
            if let info = known[key] { return info }
            if known.count >= Self.limit { known.removeAll() }
            let info = DeviceInfo()
            known[key] = info
            return info
        }
    }
}
