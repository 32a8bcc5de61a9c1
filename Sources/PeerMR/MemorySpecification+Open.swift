// SPDX-License-Identifier: Apache-2.0

public import PeerMemory
public import PeerMRCore
public import Verbs

extension MemorySpecification {
    /// Opens what is named, or allocates it, for a device that is open: memory of the device itself as well.
    ///
    /// - Throws: as ``PeerMemory/MemorySpecification/open(root:)`` and ``Verbs/DeviceMemory/init(allocating:on:)`` do.
    public func open(on context: Context) throws(PeerMRError) -> any Memory {
        if source == .nic { return try DeviceMemory(allocating: byteCount ?? 0, on: context) }
        return try open()
    }
}
