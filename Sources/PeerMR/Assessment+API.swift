// SPDX-License-Identifier: Apache-2.0

package import PCITopology
public import PeerMRCore
internal import PeerMemory
internal import Verbs

extension Assessment {
    /// Linux 6.2 is the first where programs may map p2pmem and do direct I/O on it. Distributions have it under older
    /// numbers (RHEL 9.3): a file `allocate` proves it.
    public static let firstKernelWithUserMemory = KernelRelease(6, 2)

    /// Linux 7.2 is the first whose NVMe multipath and md arrays of level 0, 1 and 10 pass peer memory on to their
    /// drives (commits fb0eeeed91f3 and 02666132403a).
    private static let firstKernelWithStackedUserMemory = KernelRelease(7, 2)

    /// Whether a client of any sort has the calls.
    ///
    /// - Parameters:
    ///   - device: the open RDMA device; nil where it is on another machine.
    ///   - plan: how it would register the memory.
    static func api(
        of client: Client, _ attachment: Attachment, _ kind: MemoryKind, _ provider: PCIAddress?, _ topology: Topology,
        _ root: SystemRoot, _ device: Result<Context, PeerMRError>?, _ plan: Result<RegistrationPlan, PeerMRError>?
    ) -> Answer {
        let isRDMA = if case .rdmaDevice = client { true } else { false }
        if !(isRDMA && kind == .dmabuf), let refusal = userMemoryRefusal(topology.kernel, provider, root) {
            return refusal
        }
        guard isRDMA else {
            return block(of: client, attachment, topology, RedHatKernel(root: root))
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
            of: .rdmaDevice(name), .unreadable, .p2pmem, nil, topology, .live, device,
            device.flatMap { context in planForAnyPool(on: context, topology) })
    }

    /// The plan for p2pmem; on a kernel that checks no routes, that for the first pool that there is one for.
    private static func planForAnyPool(
        on context: Context, _ topology: Topology
    ) -> Result<RegistrationPlan, PeerMRError> {
        let general = plan(for: .p2pmem, of: nil, on: context)
        guard case .failure(let error) = general, error.code == .unsafeConfiguration else { return general }
        let pools = topology.functions.filter { $0.poolBytes != nil }.map(\.address)
        let plans = pools.map { plan(for: .p2pmem, of: $0, on: context) }
        return plans.first { (try? $0.get()) != nil } ?? plans.first ?? general
    }

    /// Whether an open RDMA device has the call for memory of a kind.
    static func api(
        of kind: MemoryKind, on context: Context, _ plan: Result<RegistrationPlan, PeerMRError>
    ) -> Answer {
        let device = context.device
        if kind == .p2pmem, let refusal = userMemoryRefusal(.running(), nil, .live) { return refusal }
        switch (kind, plan) {
        case (.host, _): return Answer(.yes, "\(device) registers host memory, as every RDMA device does")
        case (.nic, _): return Answer(.unknown, "not asked")
        case (_, .failure(let error)): return answer(to: error, asking: "\(device)")
        case (.p2pmem, .success(let plan)) where plan.choice.method == .onDemand:
            let aside = plan.nic == .software ? "; on this software device that works by CPU copy" : ""
            return Answer(.yes, plan.choice.reason + aside)
        case (.p2pmem, .success(let plan)) where RedHatKernel.running?.pinsPeerMemory == true:
            return Answer(.yes, plan.choice.reason)
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

    /// Why programs get no p2pmem from this kernel; nil where they do, or nothing tells.
    ///
    /// - Parameter provider: whose memory is asked for; nil for that of any.
    package static func userMemoryRefusal(
        _ kernel: KernelRelease?, _ provider: PCIAddress?, _ root: SystemRoot
    ) -> Answer? {
        guard let kernel, kernel < firstKernelWithUserMemory else { return nil }
        let pools = provider.flatMap { P2PPool(of: $0, root: root) }.map { [$0] } ?? P2PPool.all(root: root)
        if pools.contains(where: \.isAllocatable) { return nil }
        let remedy = "use Linux \(firstKernelWithUserMemory) or newer"
        if pools.isEmpty, let redHat = RedHatKernel(root: root), redHat.givesUserMemory { return nil }
        guard pools.isEmpty, !isPlain(root) else {
            return Answer(.no, "Linux \(kernel) gives programs no peer memory", remedy: remedy)
        }
        switch TypeInformation(root: root)?.hasFunction("p2pmem_alloc_mmap") {
        case true?: return nil
        case false?: return Answer(.no, "this kernel gives programs no peer memory", remedy: remedy)
        case nil:
            return Answer(
                .unknown,
                "whether this kernel, which is no plain Linux \(kernel), gives programs peer memory is shown by "
                    + "a device that has some, and none has", remedy: remedy)
        }
    }

    /// Whether the kernel is one of kernel.org or Debian, whose number tells what is in it.
    private static func isPlain(_ root: SystemRoot) -> Bool {
        guard let release = root.attribute("proc/sys/kernel/osrelease") else { return true }
        let plain = /\d+\.\d+(\.\d+)?(-rc\d+)?\+?/
        let debian = /\d+\.\d+\.\d+(-\d+|\+deb\d+(\.\d+)?)-(amd64|arm64|cloud-amd64|cloud-arm64|ppc64el|riscv64)/
        return release.wholeMatch(of: plain) != nil || release.wholeMatch(of: debian) != nil
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

    private static func block(
        of client: Client, _ attachment: Attachment, _ topology: Topology, _ redHat: RedHatKernel?
    ) -> Answer {
        let isDisk = if case .blockDevice = client { true } else { false }
        if case .stacked = attachment {
            return Answer(
                .no, "\(client) is made of other devices and takes no peer memory for them",
                remedy: "use them themselves")
        }
        if let redHat, redHat.refusesDirectIO {
            return Answer(
                .no, "the kernel of \(redHat) passes peer memory to no drive: direct I/O on it ends with EREMOTEIO",
                remedy: "use the kernel of RHEL 9.6 or newer")
        }
        let functions = attachment.functions.compactMap { topology.function(at: $0) }
        guard let first = functions.first, functions.count == attachment.functions.count else {
            return Answer(.unknown, "what drives \(client) is not known")
        }
        let function = functions.first { $0.driver != "nvme" } ?? first
        switch function.driver {
        case "nvme"?: return drives(client, attachment, topology.kernelIdentity)
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

    /// One drive, or several as one.
    private static func drives(_ client: Client, _ attachment: Attachment, _ kernel: KernelIdentity?) -> Answer {
        let stack: String
        switch attachment {
        case .paths: stack = "NVMe multipath, which joins the paths of \(client),"
        case .array(let level, _): stack = "md, which makes \(client) a \(level) array,"
        default: return Answer(.yes, "the nvme driver takes peer memory for direct I/O (O_DIRECT)")
        }
        let first = firstKernelWithStackedUserMemory
        guard let kernel, kernel.release >= first else {
            // A vendor's kernel may have it under an older number.
            let isCertain = kernel.map { [.upstream, .debian].contains($0.origin) } ?? false
            let aside = isCertain ? "" : ", as a vendor's, which may have code of later ones"
            return Answer(
                isCertain ? .no : .unknown,
                "\(stack) passes peer memory on from Linux \(first) on"
                    + (kernel.map { ", and this is \($0.release)\(aside)" } ?? "; the kernel's version cannot be read"),
                remedy: "use a drive itself, or Linux \(first) or newer")
        }
        return Answer(.yes, "\(stack) passes peer memory on to drives of the nvme driver, for direct I/O (O_DIRECT)")
    }
}
