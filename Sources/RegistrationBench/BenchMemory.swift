// SPDX-License-Identifier: Apache-2.0

package import PeerMemory
internal import PCITopology
package import PeerMRCore

/// Memory to measure with: a specification of memory whose size is left open, or is the largest that is wanted.
///
///     host    p2pmem:BDF    vfio:BDF:BAR    udmabuf    heap:NAME    drm:CARD    cuda:ORDINAL    fd:N    nic
///
/// or each of these with its size, as ``PeerMemory/MemorySpecification`` has it.
package struct BenchMemory: Hashable, Sendable {
    private let whole: MemorySpecification
    /// The most bytes that are wanted of it; nil for no limit but its own.
    package let limit: UInt64?

    /// A source, and the most bytes that are wanted of it.
    package init(_ source: MemorySource, limit: UInt64? = nil) {
        self.init(MemorySpecification(source, byteCount: limit), limit: limit)
    }

    private init(_ specification: MemorySpecification, limit: UInt64?) {
        whole = specification
        self.limit = limit
    }

    /// Reads a name.
    ///
    /// - Throws: `invalidArgument`, as ``PeerMemory/MemorySpecification/init(_:)`` does.
    package init(_ text: String) throws(PeerMRError) {
        let refusal: PeerMRError
        do throws(PeerMRError) {
            let specification = try MemorySpecification(text)
            self.init(specification, limit: specification.byteCount)
            return
        } catch {
            refusal = error
        }
        // "vfio:BDF" and "fd" lack more than a size: with ":1" they would name a BAR and a descriptor.
        guard let open = try? MemorySpecification(text + ":1"), !open.source.hasItsOwnSize else { throw refusal }
        self.init(open, limit: nil)
    }

    /// The specification of so many bytes of it.
    package func specification(_ byteCount: UInt64) -> MemorySpecification { whole.sized(byteCount) }

    /// Where it begins in the BAR or the dma-buf, in bytes.
    package var offset: UInt64 { whole.offset }

    /// Whether its bytes are pages of the host, which all of the machine needs.
    package var takesHostMemory: Bool { whole.source.usesHostMemory }

    /// Whether it is the host's memory, mapped: what huge pages are for.
    package var isHost: Bool { whole.source == .host }

    /// What its pages are when a cold sample begins.
    package var coldPages: String {
        switch whole.source {
        case .host: "new pages that nobody has touched: registration allocates and clears them"
        case .p2pmem: "a new run of the pool, mapped and cleared before the clock starts"
        case .vfio: "a new dma-buf of the same BAR"
        case .udmabuf: "a new dma-buf, whose pages were allocated before the clock starts"
        case .heap: "a new dma-buf, whose pages the heap has allocated and cleared before the clock starts"
        case .descriptor: "a new descriptor of the same dma-buf"
        case .nic: "a new allocation of the device's memory"
        default: "a new allocation and its dma-buf"
        }
    }
}

extension BenchMemory: CustomStringConvertible {
    /// The name without a size.
    package var description: String { "\(whole.source)" }
}
