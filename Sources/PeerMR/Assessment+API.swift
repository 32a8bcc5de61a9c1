// SPDX-License-Identifier: Apache-2.0

package import PCITopology
public import PeerMRCore
internal import Verbs

extension Assessment {
    /// Linux 6.2 is the first where programs may map p2pmem and do direct I/O on it.
    public static let firstKernelWithUserMemory = KernelRelease(6, 2)

    /// Whether a client of any sort has the calls.
    ///
    /// - Parameters:
    ///   - device: the open RDMA device; nil where it is on another machine.
    ///   - plan: how it would register the memory.
    static func api(
        of client: Client, _ attachment: Attachment, _ kind: MemoryKind, _ topology: Topology,
        _ device: Result<Context, PeerMRError>?, _ plan: Result<RegistrationPlan, PeerMRError>?
    ) -> Answer {
        let isRDMA = if case .rdmaDevice = client { true } else { false }
        if !(isRDMA && kind == .dmabuf), let refusal = refusal(by: topology.kernel) { return refusal }
        guard isRDMA else {
            return block(of: client, attachment.function.flatMap { topology.function(at: $0) })
        }
        switch (device, plan) {
        case (.success(let context)?, let plan?): return api(of: kind, on: context, plan)
        case (.failure(let error)?, _): return answer(to: error, asking: "\(client)")
        default:
            let question = kind == .dmabuf ? "imports dma-bufs" : "can page on demand"
            return Answer(
                .unknown, "whether \(client) \(question) can be asked on its own machine only",
                remedy: "run peermr check there")
        }
    }

    /// Whether an RDMA device of the running machine has the calls for p2pmem. It is opened to be asked.
    package static func api(ofRDMADevice name: String, topology: Topology) -> Answer {
        let device = open(name)
        return api(
            of: .rdmaDevice(name), .unreadable, .p2pmem, topology, device,
            device.flatMap { context in plan(for: .p2pmem, of: nil, on: context) })
    }

    /// Whether an open RDMA device has the call for memory of a kind.
    static func api(
        of kind: MemoryKind, on context: Context, _ plan: Result<RegistrationPlan, PeerMRError>
    ) -> Answer {
        let device = context.device
        if kind == .p2pmem, let refusal = refusal(by: .running()) { return refusal }
        switch (kind, plan) {
        case (.host, _): return Answer(.yes, "\(device) registers host memory, as every RDMA device does")
        case (.nic, _): return Answer(.unknown, "not asked")
        case (_, .failure(let error)): return answer(to: error, asking: "\(device)")
        case (.p2pmem, .success(let plan)) where plan.choice.method == .onDemand:
            let aside = plan.nic == .software ? "; on this software device that works by CPU copy" : ""
            return Answer(.yes, plan.choice.reason + aside)
        case (.p2pmem, .success(let plan)):
            return Answer(
                .no, "\(plan.choice.reason), and p2pmem cannot be pinned for long",
                remedy: "use a device with on-demand paging, such as one of mlx5")
        case (.dmabuf, .success):
            let support = context.dmaBufSupport()
            return support.isSupported == true
                ? Answer(.yes, support.reason) : Answer(.unknown, support.sentence, remedy: support.remedy)
        }
    }

    private static func refusal(by kernel: KernelRelease?) -> Answer? {
        guard let kernel, kernel < firstKernelWithUserMemory else { return nil }
        return Answer(
            .no, "Linux \(kernel) gives programs no peer memory",
            remedy: "use Linux \(firstKernelWithUserMemory) or newer")
    }

    /// No where the device or the kernel cannot do it, unknown where it could not be asked.
    private static func answer(to error: PeerMRError, asking name: String) -> Answer {
        guard [.notSupported, .unsafeConfiguration].contains(error.code) else {
            return Answer(.unknown, "\(name) cannot be asked: \(error.reason)", remedy: error.remedy)
        }
        guard let errno = error.errno, let call = error.call else {
            return Answer(.no, error.reason, remedy: error.remedy)
        }
        return Answer(.no, "\(error.reason) (\(call), errno \(errno.rawValue))", remedy: error.remedy)
    }

    private static func block(of client: Client, _ function: PCIFunction?) -> Answer {
        guard let function else {
            return Answer(.unknown, "what drives \(client) is not known")
        }
        let isDisk = if case .blockDevice = client { true } else { false }
        switch function.driver {
        case "nvme"?:
            return Answer(.yes, "the nvme driver takes peer memory for direct I/O (O_DIRECT)")
        case let driver? where isDisk:
            return Answer(
                .no, "\(client) is driven by \(driver), and only the nvme driver takes peer memory",
                remedy: "use an NVMe drive")
        case let driver:
            return Answer(
                .unknown,
                "\(client) has \(driver.map { "the driver \($0)" } ?? "no driver"), and whether that takes peer "
                    + "memory depends on the program that uses it"
            )
        }
    }
}
