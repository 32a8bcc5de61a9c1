// SPDX-License-Identifier: Apache-2.0

package import PeerMemory
internal import PCITopology
package import PeerMRCore

/// Memory to measure with: a specification of memory whose size is left open, or is the largest that is wanted.
///
///     host    p2pmem:BDF    vfio:BDF:BAR    udmabuf    heap:NAME    cuda:ORDINAL    fd:N    nic
///
/// or each of these with its size, as ``PeerMemory/MemorySpecification`` has it.
package struct BenchMemory: Hashable, Sendable {
    private let whole: MemorySpecification
    /// The most bytes that are wanted of it; nil for no limit but its own.
    package let limit: UInt64?

    /// A specification, whose size is the limit where `isLimited`.
    package init(_ specification: MemorySpecification, isLimited: Bool) {
        whole = specification
        limit = isLimited ? specification.byteCount : nil
    }

    /// Reads a name.
    ///
    /// - Throws: `invalidArgument`, as ``PeerMemory/MemorySpecification/init(_:)`` does.
    package init(_ text: String) throws(PeerMRError) {
        let refusal: PeerMRError
        do throws(PeerMRError) {
            let specification = try MemorySpecification(text)
            self.init(specification, isLimited: specification.byteCount != nil)
            return
        } catch {
            refusal = error
        }
        // "vfio:BDF" and "fd" lack more than a size: with ":1" they would name a BAR and a descriptor.
        guard let open = try? MemorySpecification(text + ":1"), open.needsSize else { throw refusal }
        self.init(open, isLimited: false)
    }

    /// The specification of so many bytes of it.
    package func specification(_ byteCount: UInt64) -> MemorySpecification {
        switch whole {
        case .host: .host(byteCount: byteCount)
        case .p2pmem(let provider, _): .p2pmem(provider, byteCount: byteCount)
        case .vfio(let address, let bar, let part):
            .vfio(address, bar: bar, part: .init(offset: part?.offset ?? 0, byteCount: byteCount))
        case .udmabuf: .udmabuf(byteCount: byteCount)
        case .heap(let heap, _): .heap(heap, byteCount: byteCount)
        case .cuda(let ordinal, _): .cuda(ordinal: ordinal, byteCount: byteCount)
        case .descriptor(let number, let part):
            .descriptor(number, part: .init(offset: part?.offset ?? 0, byteCount: byteCount))
        case .nic: .nic(byteCount: byteCount)
        }
    }

    /// Where it begins in the BAR or the dma-buf, in bytes.
    package var offset: UInt64 {
        switch whole {
        case .vfio(_, _, let part), .descriptor(_, let part): part?.offset ?? 0
        case .host, .p2pmem, .udmabuf, .heap, .cuda, .nic: 0
        }
    }

    /// Whether its bytes are pages of the host, which all of the machine has to live on.
    package var takesHostMemory: Bool {
        switch whole {
        case .host, .udmabuf, .heap: true
        case .p2pmem, .vfio, .cuda, .descriptor, .nic: false
        }
    }

    /// Whether it is the host's memory, mapped: what huge pages are for.
    package var isHost: Bool {
        if case .host = whole { true } else { false }
    }

    /// What its pages are when a cold sample begins.
    package var coldPages: String {
        switch whole {
        case .host: "new pages that nobody has touched: registration allocates and clears them"
        case .p2pmem: "a new run of the pool, mapped and cleared before the clock starts"
        case .vfio: "a new dma-buf of the same BAR"
        case .udmabuf: "a new dma-buf, whose pages were allocated before the clock starts"
        case .heap: "a new dma-buf, whose pages the heap has allocated and cleared before the clock starts"
        case .cuda: "a new allocation and its dma-buf"
        case .descriptor: "a new descriptor of the same dma-buf"
        case .nic: "a new allocation of the device's memory"
        }
    }
}

extension BenchMemory: CustomStringConvertible {
    /// The name without a size.
    package var description: String {
        switch whole {
        case .host: "host"
        case .p2pmem(let provider, _): "p2pmem:\(provider)"
        case .vfio(let address, let bar, _): "vfio:\(address):\(bar)"
        case .udmabuf: "udmabuf"
        case .heap(let heap, _): "heap:\(heap.name)"
        case .cuda(let ordinal, _): "cuda:\(ordinal)"
        case .descriptor(let number, _): "fd:\(number)"
        case .nic: "nic"
        }
    }
}

extension MemorySpecification {
    /// Whether it cannot be written without a size.
    fileprivate var needsSize: Bool {
        switch self {
        case .host, .p2pmem, .udmabuf, .heap, .cuda, .nic: true
        case .vfio, .descriptor: false
        }
    }

    /// The size in it; nil where all that there is is meant.
    var byteCount: UInt64? {
        switch self {
        case .host(let byteCount), .p2pmem(_, let byteCount), .udmabuf(let byteCount), .heap(_, let byteCount),
            .cuda(_, let byteCount), .nic(let byteCount):
            byteCount
        case .vfio(_, _, let part), .descriptor(_, let part): part?.byteCount
        }
    }
}
