// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import PeerMemory
public import PeerMRCore
public import Verbs

// MARK: - Exporter

extension Capability {
    static func exporter(
        _ provider: PCIAddress, _ topology: Topology, _ root: SystemRoot
    ) -> Answer {
        if let pool = P2PPool(of: provider, root: root) {
            let size = ByteCount.describe(pool.byteCount)
            let free = ByteCount.describe(pool.availableBytes)
            return pool.isAllocatable
                ? Answer(.yes, "\(provider) publishes \(size) of p2pmem, of which \(free) are free")
                : Answer(
                    .no, "\(provider) has \(size) of p2pmem, which this kernel keeps to itself",
                    remedy: "use Linux 6.2 or newer, where programs may allocate from it")
        }
        guard let function = topology.function(at: provider) else {
            return topology.unlocated.contains(provider)
                ? Answer(.unknown, "what \(provider) publishes cannot be read")
                : Answer(.no, "there is no PCI function \(provider)")
        }
        if root.exists(P2PPool.folder(of: provider)) {
            return Answer(.unknown, "\(provider) has p2pmem whose size cannot be read")
        }
        if function.mayExportBuffers {
            return Answer(
                .unknown,
                "\(provider) publishes no p2pmem; its driver (\(function.driver ?? "none")) may export its memory "
                    + "as a dma-buf, which only a program that has such a buffer can tell"
            )
        }
        return Answer(
            .no, "\(provider) publishes no p2pmem",
            remedy: function.isBridge
                ? "name a device below it"
                : "use a drive whose controller memory buffer may hold data, on a kernel with CONFIG_PCI_P2PDMA, "
                    + "bound to the nvme driver (ls -d /sys/bus/pci/devices/*/p2pmem)"
        )
    }
}

extension PCIFunction {
    /// Drivers of display and processing devices, and vfio-pci, hand memory out as dma-bufs.
    fileprivate var mayExportBuffers: Bool {
        guard let classCode else { return false }
        return [0x03, 0x12].contains(classCode >> 16) || driver == "vfio-pci"
    }
}

// MARK: - API

extension Capability {
    static func api(
        of client: Client, _ attachment: Attachment, _ memory: MemoryKind, _ topology: Topology, _ root: SystemRoot,
        open context: Context? = nil
    ) -> Answer {
        if memory == .dmabuf, case .rdmaDevice(let name) = client {
            return context.map { buffers(of: $0) } ?? buffers(of: name, root)
        }
        if let kernel = topology.kernel, kernel < firstKernelWithUserMemory {
            return Answer(
                .no, "Linux \(kernel) gives programs no peer memory",
                remedy: "use Linux \(firstKernelWithUserMemory) or newer")
        }
        switch client {
        case .rdmaDevice(let name): return verbs(of: name, topology, root, open: context)
        case .blockDevice, .controller, .function:
            return block(of: client, attachment.function.flatMap { topology.function(at: $0) })
        }
    }

    /// Linux 6.2 is the first where programs may map p2pmem and do direct I/O on it.
    public static let firstKernelWithUserMemory = KernelRelease(6, 2)

    /// What the provider has for others, as far as sysfs tells.
    static func likelyMemory(of provider: PCIAddress, _ topology: Topology, _ root: SystemRoot) -> MemoryKind {
        guard P2PPool(of: provider, root: root) == nil, !root.exists(P2PPool.folder(of: provider)),
            let function = topology.function(at: provider), function.mayExportBuffers
        else { return .p2pmem }
        return .dmabuf
    }

    /// Whether the calls for p2pmem are there for an RDMA device of the running machine.
    package static func api(ofRDMADevice name: String, topology: Topology) -> Answer {
        verbs(of: name, topology, .live)
    }

    private static func verbs(
        of name: String, _ topology: Topology, _ root: SystemRoot, open context: Context? = nil
    ) -> Answer {
        guard root.isLive else {
            return Answer(
                .unknown, "whether \(name) can page on demand can be asked on its own machine only",
                remedy: "run peermr check there")
        }
        do throws(PeerMRError) {
            let device = Device(name: name)
            guard try (context != nil ? [device] : Device.all()).contains(device) else {
                return Answer(
                    .no, "libibverbs has no provider library for \(name)",
                    remedy: "install it: apt install ibverbs-providers")
            }
            let opened: Context
            if let context { opened = context } else { opened = try device.open() }
            let facts = try RegistrationInfo(of: opened)
            let choice: MethodChoice
            do throws(PeerMRError) {
                choice = try .choose(for: .p2pmem, facts: facts)
            } catch {
                return Answer(.no, error.reason, remedy: error.remedy)
            }
            if choice.method == .onDemand {
                let aside =
                    facts.nic == .software
                    ? "; on this software device that works by CPU copy" : ""
                return Answer(.yes, choice.reason + aside)
            }
            return Answer(
                .no, "\(choice.reason), and p2pmem cannot be pinned for long",
                remedy: "use a device with on-demand paging, such as one of mlx5")
        } catch {
            return Answer(.unknown, "\(name) cannot be asked: \(error.reason)", remedy: error.remedy)
        }
    }

    /// Whether an RDMA device imports dma-bufs, by asking it about one that does not exist.
    private static func buffers(of name: String, _ root: SystemRoot) -> Answer {
        guard root.isLive else {
            return Answer(
                .unknown, "whether \(name) imports dma-bufs can be asked on its own machine only",
                remedy: "run peermr check there")
        }
        do throws(PeerMRError) {
            return buffers(of: try Device(name: name).open())
        } catch {
            return Answer(.unknown, "\(name) cannot be asked: \(error.reason)", remedy: error.remedy)
        }
    }

    /// Whether an open RDMA device imports dma-bufs: the first of the four answers for a dma-buf of anyone.
    public static func buffers(of context: Context) -> Answer {
        do throws(PeerMRError) {
            let facts = try RegistrationInfo(of: context, for: .dmabuf)
            let found = context.dmaBufSupport()
            do throws(PeerMRError) {
                _ = try MethodChoice.choose(for: .dmabuf, facts: facts)
            } catch {
                let said = error.errno.map { " (\(error.call.map { "\($0), " } ?? "")errno \($0.rawValue))" } ?? ""
                return Answer(.no, error.reason + said, remedy: error.remedy)
            }
            return found.isSupported == true
                ? Answer(.yes, found.reason)
                : Answer(.unknown, found.sentence, remedy: found.remedy)
        } catch {
            return Answer(.unknown, error.reason, remedy: error.remedy)
        }
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
