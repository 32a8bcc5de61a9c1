// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import PeerMemory
internal import SystemPackage
public import PeerMRCore
public import Verbs

// A region over memory that is gone: how that shows, and its cause.
extension PeerRegion {
    /// The cause of a completion with an error; nil where the request succeeded.
    ///
    /// A NIC says no more than "access error". This looks at the memory: whether its device exists and has its driver,
    /// and whether the owner still reaches the bytes. A dma-buf that its exporter revoked for a while only (a reset, a
    /// sleep) is lost too: the NIC does not map the memory again.
    ///
    /// Not for the data path: call it for the first completion that failed, and not for those flushed after it.
    public borrowing func explain(_ completion: Completion) -> PeerMRError? {
        explain(completion, isAlone: false)
    }

    /// - Parameter isAlone: whether it was the only request of a queue pair connected to itself. Such a pair can fail
    ///   on its receiving side first, which flushes the request that is to blame.
    borrowing func explain(_ completion: Completion, isAlone: Bool) -> PeerMRError? {
        guard completion.status != .success else { return nil }
        let status = completion.status
        let said =
            "\(status) (status \(status.rawValue), vendor \(completion.vendorSyndrome), request "
            + "\(completion.requestID))"
        if let loss = loss() {
            return .lossShown(of: loss, loss.reason, said, loss.remedy)
        }
        if let gone = PeerMRError.withoutNIC(domain.context.device) { return gone }
        if status == .flushed, !isAlone {
            return .neverBegan(said)
        }
        if status.isAboutMemory || status == .flushed {
            return kind == .host ? .regionRefused(said) : .memoryTakenBack(said, describe())
        }
        if status.rawValue == CompletionStatus.fatal {
            return .deviceFailing(domain.context.device, said)
        }
        return status.failureClass == .transport
            ? .transportOfRegion(describe(), said, status.hint) : .transferOfRegion(describe(), said, status.hint)
    }

    /// The cause, from sysfs and the owner, when the memory was revoked; nil where they find nothing wrong. Takes some
    /// microseconds.
    ///
    /// - Returns: `memoryRevoked`, with what happened.
    public borrowing func loss() -> PeerMRError? { loss(root: .live) }

    borrowing func loss(root: SystemRoot) -> PeerMRError? {
        if let provider {
            guard root.exists("sys/bus/pci/devices/\(provider)") else {
                return .providerGone(provider, describe())
            }
            let driver = root.driver(of: provider)
            if driver != driverAtRegistration {
                return .driverChanged(provider, was: driverAtRegistration, is: driver, describe())
            }
        }
        guard kind != .host else { return nil }
        var byte: [1 of UInt8] = [0]
        var span = byte.mutableSpan
        var raw = unsafe span.mutableBytes
        do throws(PeerMRError) {
            try read(into: &raw, at: 0)
            return nil
        } catch {
            return error.code == .memoryRevoked ? error : nil
        }
    }

    private borrowing func describe() -> String {
        let whose = provider.map { " of \($0)" } ?? ""
        return switch kind {
        case .host: "a region of host memory"
        case .nic: "the region over memory of the NIC itself"
        case .p2pmem: "the region over p2pmem\(whose)"
        case .dmabuf: "the region over a dma-buf of \(exporter ?? "?")\(whose)"
        }
    }
}

extension CompletionStatus {
    /// The device is in a state that it does not come out of.
    fileprivate static let fatal: UInt32 = 19

    /// Whether it is what a NIC says about memory that it may not reach, or no longer.
    fileprivate var isAboutMemory: Bool {
        // Local QP operation, local protection, local access, remote invalid request, access and operation.
        [2, 4, 8, 9, 10, 11].contains(rawValue)
    }
}
