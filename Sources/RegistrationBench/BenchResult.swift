// SPDX-License-Identifier: Apache-2.0

package import CommandSupport
package import PeerMR
package import PeerMRCore

/// The times of one way to register.
package struct Timings: Sendable {
    /// From the call to the region, in nanoseconds.
    package var register = Distribution()
    /// The region's end, in nanoseconds.
    package var deregister = Distribution()
    /// Making the pages be there, before ``register`` begins, in nanoseconds; recorded for populated memory.
    package var populate = Distribution()
    /// Populating and registering together, in nanoseconds; recorded for populated memory.
    package var total = Distribution()
}

/// What was measured of one cell.
package struct CellResult: Sendable {
    package let cell: Cell
    /// PeerMR's.
    package var timings = Timings()
    /// Those of the calls of libibverbs alone; nothing is recorded without a baseline.
    package var bare = Timings()
    /// Closing a descriptor of a dma-buf, in nanoseconds, which is in no other figure; recorded for dma-bufs with a
    /// baseline.
    package var bareClose = Distribution()
    /// How the memory became regions; nil where none came to be.
    package var method: Method?
    /// What its pages were, the last time that was looked at.
    package var pages: PageSort?
    /// Why the cell was not measured, or not to the end.
    package var refusal: PeerMRError?

    package init(_ cell: Cell) { self.cell = cell }

    /// How much longer PeerMR's registration takes than the bare call.
    package var registerOverhead: Overhead? { Overhead(timings.register, bare.register) }
    /// The same of deregistration.
    package var deregisterOverhead: Overhead? { Overhead(timings.deregister, bare.deregister) }
}

/// The difference of two medians.
package struct Overhead: Hashable, Sendable {
    /// PeerMR's median minus that of the bare call, in nanoseconds; below 0 where noise was larger than it.
    package let nanoseconds: Int64
    /// PeerMR's median by that of the bare call.
    package let ratio: Double
    /// Whether it is at most 2 % of the bare median or 1 µs, whichever is larger.
    package let isWithinBar: Bool

    /// The bar below which a difference counts as none, in nanoseconds.
    package static let barNanoseconds: Int64 = 1000
    /// The bar as a part of the bare median.
    package static let barRatio = 0.02

    /// Compares; nil where one of the two has nothing recorded.
    package init?(_ ours: Distribution, _ bare: Distribution) {
        guard ours.count > 0, bare.count > 0, bare.median > 0 else { return nil }
        self.init(ours: ours.median, bare: bare.median)
    }

    /// Compares two medians, in nanoseconds; `bare` is not 0.
    package init(ours: UInt64, bare: UInt64) {
        nanoseconds = Int64(clamping: ours) - Int64(clamping: bare)
        ratio = Double(ours) / Double(bare)
        isWithinBar = nanoseconds <= max(Self.barNanoseconds, Int64(Double(bare) * Self.barRatio))
    }
}

/// All that a run has found.
package struct BenchResult: Sendable {
    /// The device's name.
    package var device: String
    package var plan: BenchPlan
    package var clock: BenchClock
    /// The running kernel, as it names itself.
    package var kernel: String
    /// Every cell of the plan, the smallest first; those with a refusal may have samples too.
    package var cells: [CellResult]
    /// Memory of this machine that was looked for and cannot be measured: what, and why.
    package var absent: [(name: String, reason: PeerMRError)] = []
    /// How often all cells were gone through.
    package var rounds = 0
    /// How long it took, in nanoseconds.
    package var nanoseconds: UInt64 = 0
    /// Whether it was ended from outside.
    package var wasInterrupted = false

    /// The cells that have samples.
    package var measured: [CellResult] { cells.filter { $0.timings.register.count > 0 } }
    /// The cells that have none, or not all.
    package var refused: [CellResult] { cells.filter { $0.refusal != nil } }
}
