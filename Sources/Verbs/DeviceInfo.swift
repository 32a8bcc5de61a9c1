// SPDX-License-Identifier: Apache-2.0

package import Synchronization

/// What has been found out about a device, so that nobody asks twice.
package final class DeviceInfo: Sendable {
    /// The answer of ``Context/dmaBufSupport()``.
    let dmaBufSupport = Mutex<DMABufSupport?>(nil)
    /// What a layer above remembers, set once.
    package let layer = AtomicLazyReference<Layer>()

    init() {}

    /// A holder for an object of the layer above.
    package final class Layer: Sendable {
        package let object: any AnyObject & Sendable
        package init(_ object: any AnyObject & Sendable) { self.object = object }
    }
}
