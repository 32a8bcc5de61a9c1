// SPDX-License-Identifier: Apache-2.0

internal import PeerMemory
package import PeerMRCore
package import Verbs

/// Whether memory is new for each registration.
package enum Temperature: String, Hashable, Sendable, CaseIterable {
    /// New memory each time; see ``BenchMemory/coldPages``.
    case cold
    /// The same memory again, whose pages are there and have been registered before.
    case warm
}

/// What is to be measured, in all combinations.
package struct BenchPlan: Sendable {
    /// The memory, at least one.
    package var memories: [BenchMemory]
    /// The sizes in bytes, sorted: multiples of a page.
    package var sizes: [UInt64]
    /// Cold, warm or both.
    package var temperatures: [Temperature] = [.cold, .warm]
    /// How many threads register at once.
    package var threads: [Int] = [1]
    /// How much is registered beforehand, in bytes.
    package var registered: [UInt64] = [0]
    /// Whether host memory is measured with huge pages as well.
    package var hugePages = false
    /// Whether new host memory is measured populated as well, before it is registered.
    package var populate = false
    /// How large the regions are at most that make up a size, in bytes; nil for one region.
    package var chunkBytes: UInt64?
    /// Whether the bare calls are measured too.
    package var baseline = false
    /// What the device and its peers may do with the regions.
    package var access: Access = [.localWrite, .remoteWrite, .remoteRead]
    /// How many samples of each cell end the run; nil for no such end.
    package var iterations: Int?
    /// How long the run may take, in nanoseconds, once the first round is over; nil for no such end.
    package var nanoseconds: UInt64?

    /// A plan, with the rest as usual.
    package init(memories: [BenchMemory], sizes: [UInt64]) {
        self.memories = memories
        self.sizes = sizes
    }

    /// The most threads.
    package static let maximumThreads = 256

    /// Looks for what is wrong with the plan itself.
    ///
    /// - Throws: `invalidArgument`.
    package func validate() throws(PeerMRError) {
        guard !sizes.isEmpty, !temperatures.isEmpty else {
            throw .emptyPlan()
        }
        for count in threads where count < 1 || count > Self.maximumThreads {
            throw .badThreads(count, Self.maximumThreads)
        }
        if let iterations, iterations < 1 {
            throw .badIterations(iterations)
        }
        if let chunkBytes {
            guard chunkBytes > 0, chunkBytes % UInt64(pageBytes) == 0, chunkBytes <= UInt64(Int.max) else {
                throw .partOfPage(chunkBytes, pageBytes)
            }
            if baseline { throw .bareChunks() }
        }
        if populate, !temperatures.contains(.cold) { throw .populatedAlready() }
        for memory in memories where memory.offset % UInt64(pageBytes) != 0 {
            throw .unalignedStart(memory, memory.offset, pageBytes)
        }
    }

    /// Looks for what the device cannot do, where its user asked for it.
    ///
    /// - Throws: `invalidArgument`.
    package func validate(for attributes: DeviceAttributes, of device: Device) throws(PeerMRError) {
        guard chunkBytes == nil, let largest = sizes.last, largest > attributes.maximumRegionBytes else { return }
        let limit = attributes.maximumRegionBytes
        throw .beyondRegion(device, limit, largest, limit)
    }

    /// All combinations, the smallest first.
    package var cells: [Cell] {
        var cells: [Cell] = []
        for registered in registered {
            for threads in threads {
                for size in sizes {
                    for memory in memories {
                        for temperature in temperatures {
                            for (huge, populated) in preparations(of: memory, temperature) {
                                cells.append(
                                    Cell(
                                        memory: memory, byteCount: size, temperature: temperature, isHuge: huge,
                                        registeredBytes: registered, threads: threads, isPopulated: populated,
                                        chunkBytes: chunkBytes))
                            }
                        }
                    }
                }
            }
        }
        return cells
    }

    private func preparations(of memory: BenchMemory, _ temperature: Temperature) -> [(huge: Bool, populated: Bool)] {
        (hugePages && memory.isHost ? [false, true] : [false]).flatMap { huge in
            (populate && memory.isHost && temperature == .cold ? [false, true] : [false]).map { (huge, $0) }
        }
    }
}

/// One combination.
package struct Cell: Hashable, Sendable {
    package let memory: BenchMemory
    /// The size of the region, in bytes.
    package let byteCount: UInt64
    package let temperature: Temperature
    /// Whether huge pages were asked for.
    package let isHuge: Bool
    /// How much was registered beforehand, in bytes.
    package let registeredBytes: UInt64
    /// How many threads registered at once.
    package let threads: Int
    /// Whether the memory was populated before it was registered.
    package var isPopulated = false
    /// How large the regions were at most, in bytes; nil for one region.
    package var chunkBytes: UInt64?
}

extension Cell {
    /// The same with memory that is not populated.
    package var withoutPopulation: Cell {
        var cell = self
        cell.isPopulated = false
        return cell
    }
}

extension Cell: CustomStringConvertible {
    package var description: String {
        var text = "\(memory) \(ByteCount.describe(byteCount)) \(temperature.rawValue)"
        if isHuge { text += " huge" }
        if isPopulated { text += " populated" }
        if registeredBytes > 0 { text += " +\(ByteCount.describe(registeredBytes))" }
        if threads > 1 { text += " ×\(threads)" }
        return text
    }
}
