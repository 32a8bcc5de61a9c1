// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// What has been found out about a device, so that nobody asks twice.
package final class DeviceInfo: Sendable {
    /// The answer of ``Context/dmaBufSupport()``.
    let dmaBufSupport = Mutex<DMABufSupport?>(nil)
    /// What the layer above remembers of the device.
    package let layer = OnceReference()

    init() {}
}
