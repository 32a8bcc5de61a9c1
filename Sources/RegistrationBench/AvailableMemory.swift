// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import PeerMR
internal import PeerMemory
package import PeerMRCore
package import Verbs

extension BenchMemory {
    /// Host memory, and every other memory of this machine that the device may be able to register.
    ///
    /// Nothing is opened but what only this process would use: a function is opened by way of vfio when it is measured.
    ///
    /// - Returns: what there is, and what there is but cannot be measured, with the reason.
    package static func available(
        for context: Context, root: SystemRoot = .live
    ) -> (names: [BenchMemory], absent: [(name: String, reason: PeerMRError)]) {
        var names = [BenchMemory(.host)]
        var absent: [(name: String, reason: PeerMRError)] = []
        for pool in P2PPool.all(root: root) where pool.isAllocatable {
            names.append(BenchMemory(.p2pmem(pool.provider)))
        }
        let buffers = buffers(root)
        let answer = Assessment(of: .dmabuf, on: context).api
        if answer.outcome == .no {
            for name in buffers {
                absent.append(
                    (
                        "\(name)",
                        PeerMRError(.notSupported, reason: answer.reason, remedy: answer.remedy)
                    ))
            }
        } else {
            names += buffers
        }
        if let attributes = try? context.attributes(), attributes.deviceMemoryBytes > 0 {
            names.append(BenchMemory(.nic, limit: attributes.deviceMemoryBytes))
        }
        return (names, absent)
    }

    private static func buffers(_ root: SystemRoot) -> [BenchMemory] {
        var names: [BenchMemory] = []
        if root.exists("dev/udmabuf") { names.append(BenchMemory(.udmabuf)) }
        for heap in DMAHeap.all(root: root) { names.append(BenchMemory(.heap(heap))) }
        let functions = (root.entries("sys/bus/pci/drivers/vfio-pci") ?? []).compactMap { PCIAddress($0) }
        for address in functions.sorted() {
            guard let (bar, byteCount) = largestBAR(of: address, root) else { continue }
            names.append(BenchMemory(.vfio(address, bar: bar), limit: byteCount))
        }
        if (try? CUDALibrary.load()) != nil {
            names.append(BenchMemory(.cuda(ordinal: 0)))
        }
        return names
    }

    /// The largest BAR that is memory, by the ranges and flags that sysfs shows (`resource`; include/linux/ioport.h).
    private static func largestBAR(of address: PCIAddress, _ root: SystemRoot) -> (bar: Int, byteCount: UInt64)? {
        let text = root.attribute("sys/bus/pci/devices/\(address)/resource") ?? ""
        var largest: (bar: Int, byteCount: UInt64)?
        for (bar, line) in text.split(separator: "\n").prefix(6).enumerated() {
            let words = line.split(separator: " ").compactMap { UInt64($0.dropFirst(2), radix: 16) }
            guard words.count == 3, words[2] & 0x200 != 0, words[1] > words[0] else { continue }
            let byteCount = words[1] - words[0] + 1
            if byteCount >= UInt64(pageBytes), byteCount > largest?.byteCount ?? 0 { largest = (bar, byteCount) }
        }
        return largest
    }
}
