// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// What is known about a dma-buf registration that the kernel refused.
struct BufferRefusal {
    let call: String
    let device: Device
    let part: DMABufRange
    let access: Access
    /// The driver that exports the buffer; nil where the descriptor is no dma-buf.
    let exporter: String?
    /// Whether the device imports dma-bufs at all; nil where that is not known.
    let imports: Bool?

    /// The exporter's name as the kernel has it; nil where the descriptor is no dma-buf.
    static func exporter(of descriptor: Int32) -> String? {
        guard descriptor >= 0, let text = SystemRoot.live.attribute("proc/self/fdinfo/\(descriptor)") else {
            return nil
        }
        for line in text.split(separator: "\n") where line.hasPrefix("exp_name:") {
            return line.dropFirst(9).drop { $0 == " " || $0 == "\t" }.description
        }
        return nil
    }
}
