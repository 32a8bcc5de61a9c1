// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

extension NVMeTarget {
    /// Whether the target will move a namespace's data, on one port and by one RDMA device, through p2pmem.
    public struct Answer: Hashable, Sendable {
        /// Why, for programs.
        public enum Code: String, Sendable {
            /// It will, as far as the pool reaches.
            case used
            /// The namespace's switch is off.
            case switchedOff
            /// The kernel has no such switch.
            case noSwitch
            /// The namespace is not enabled.
            case disabled
            /// A controller is handed through.
            case passthrough
            /// No port offers the subsystem.
            case noPort
            /// The port's transport is not RDMA.
            case transport
            /// No RDMA device has the port's address.
            case noDevice
            /// The RDMA device is software: the CPU moves its bytes.
            case softwareDevice
            /// The RDMA device is on no PCI function.
            case notPCI
            /// The namespace is a file, or a block device that is on no PCI function of its own.
            case drive
            /// No device publishes p2pmem.
            case noPool
            /// The function that was named publishes no p2pmem.
            case notPublished
            /// No published p2pmem is in reach of both the NIC and the drive.
            case noRoute
            /// The pool that it would take has not a page left.
            case exhausted
            /// Something that decides it cannot be read.
            case unreadable
        }

        /// The subsystem's name.
        public let subsystem: String
        /// The namespace.
        public let namespace: Namespace
        /// The port; nil where none offers the subsystem.
        public let port: Port?
        /// The RDMA device that serves the port; nil where none does.
        public let device: String?
        /// True where it will, false where all goes through host memory, nil where that cannot be told.
        public let usesPeerMemory: Bool?
        /// Whose memory; of several that are equally near the kernel takes one at random, for each controller anew.
        public let providers: [PCIAddress]
        /// Why.
        public let code: Code
        /// Why, in a sentence.
        public let reason: String
        /// What changes it; nil where nothing does, or nothing needs to.
        public let remedy: String?

        /// Whether somebody asked for p2pmem here, and the target goes without it and does not say so.
        public var isSilentBounce: Bool {
            guard usesPeerMemory == false, code != .passthrough, namespace.isEnabled != false,
                port?.transport == "rdma"
            else { return false }
            switch namespace.peerMemory {
            case .automatic, .provider: return true
            case .off, .missing, .unreadable: return false
            }
        }
    }

    /// The answers for each namespace on each port that offers it, by each RDMA device that may serve the port.
    ///
    /// They follow what the kernel does: `nvmet_p2pmem_ns_enable` and `nvmet_p2pmem_ns_add_p2p`
    /// (drivers/nvme/target/core.c), with the NIC that drivers/nvme/target/rdma.c names as the client, and
    /// `pci_p2pmem_find_many` (drivers/pci/p2pdma.c).
    ///
    /// - Parameters:
    ///   - topology: the machine.
    ///   - root: where its pools are looked at.
    ///   - chosen: an RDMA device that is to serve all ports, instead of those that have their addresses.
    public func answers(_ topology: Topology, root: SystemRoot = .live, by chosen: String? = nil) -> [Answer] {
        let judge = NVMeTargetJudge(topology, root)
        return subsystems.flatMap { subsystem in
            let ports = ports.filter { $0.subsystems.contains(subsystem.name) }
            return subsystem.namespaces.flatMap { namespace -> [Answer] in
                let place = NVMeTargetJudge.Place(subsystem: subsystem, namespace: namespace)
                if ports.isEmpty { return [judge.withoutPort(place)] }
                return ports.flatMap { port -> [Answer] in
                    let devices = chosen.map { [$0] } ?? port.devices ?? []
                    if devices.isEmpty { return [judge.withoutDevice(place, port)] }
                    return devices.map { judge.answer(place, port, $0) }
                }
            }
        }
    }
}

/// Judges one namespace on one port.
struct NVMeTargetJudge {
    typealias Answer = NVMeTarget.Answer

    struct Place {
        let subsystem: NVMeTarget.Subsystem
        let namespace: NVMeTarget.Namespace
    }

    /// Why not, or why it cannot be told.
    struct Refusal {
        let code: Answer.Code
        let reason: String
        var remedy: String?
        /// Nil where it cannot be told.
        var answer: Bool? { code == .unreadable ? nil : false }
    }

    let pools: TargetPools
    private let topology: Topology

    init(_ topology: Topology, _ root: SystemRoot) {
        self.topology = topology
        pools = TargetPools(topology, root)
    }

    func withoutPort(_ place: Place) -> Answer {
        let refusal =
            switchRefusal(place)
            ?? Refusal(
                code: .noPort, reason: "no port offers \(place.subsystem.name)",
                remedy: "link it: ln -s /\(NVMeTarget.folder)/subsystems/\(place.subsystem.name) "
                    + "/\(NVMeTarget.folder)/ports/NUMBER/subsystems/")
        return answer(place, nil, nil, refusal)
    }

    func withoutDevice(_ place: Place, _ port: NVMeTarget.Port) -> Answer {
        let address = port.address ?? "no address"
        let refusal =
            switchRefusal(place) ?? transportRefusal(port)
            ?? (port.devices == nil
                ? Refusal(
                    code: .unreadable, reason: "which RDMA device serves \(address) is not shown",
                    remedy: "ask on the machine itself")
                : Refusal(
                    code: .noDevice, reason: "no RDMA device has the address \(address)",
                    remedy: "rdma link show lists RDMA devices with their interfaces, ip address show the addresses"))
        return answer(place, port, nil, refusal)
    }

    func answer(_ place: Place, _ port: NVMeTarget.Port, _ device: String) -> Answer {
        if let refusal = switchRefusal(place) ?? transportRefusal(port) ?? deviceRefusal(device) {
            return answer(place, port, device, refusal)
        }
        guard let nic = topology.rdmaDevices[device]?.function,
            case .block(_, .function(let drive)) = place.namespace.backing
        else {
            return answer(place, port, device, Refusal(code: .unreadable, reason: "sysfs does not show \(device)"))
        }
        switch pools.choice(place.namespace.peerMemory, nic: nic, drive: drive, device) {
        case .failure(let refusal): return answer(place, port, device, refusal)
        case .success(let choice):
            return Answer(
                subsystem: place.subsystem.name, namespace: place.namespace, port: port, device: device,
                usesPeerMemory: true, providers: choice.providers, code: .used, reason: choice.sentence, remedy: nil)
        }
    }

    private func answer(_ place: Place, _ port: NVMeTarget.Port?, _ device: String?, _ refusal: Refusal) -> Answer {
        Answer(
            subsystem: place.subsystem.name, namespace: place.namespace, port: port, device: device,
            usesPeerMemory: refusal.answer, providers: [], code: refusal.code, reason: refusal.reason,
            remedy: refusal.remedy)
    }

    // MARK: Why not

    /// What the namespace itself says.
    private func switchRefusal(_ place: Place) -> Refusal? {
        let namespace = place.namespace
        let folder = "/\(NVMeTarget.folder)/subsystems/\(place.subsystem.name)/namespaces/\(namespace.number)"
        if place.subsystem.isPassthrough {
            return Refusal(
                code: .passthrough, reason: "the subsystem hands a controller through, and that takes no p2pmem",
                remedy: "offer the drive's block device as a namespace")
        }
        switch namespace.peerMemory {
        case .missing:
            return Refusal(
                code: .noSwitch,
                reason: "this kernel's target has no p2pmem switch: it was built without CONFIG_PCI_P2PDMA, or is "
                    + "older than 4.20",
                remedy: "boot a kernel that has it: grep CONFIG_PCI_P2PDMA /boot/config-*")
        case .off:
            return Refusal(
                code: .switchedOff, reason: "p2pmem is off for this namespace",
                remedy: "while it is disabled: echo 1 > \(folder)/p2pmem")
        case .unreadable:
            return Refusal(
                code: .unreadable, reason: "\(folder)/p2pmem cannot be read", remedy: "ask as root")
        case .automatic, .provider: break
        }
        if let refusal = driveRefusal(namespace) { return refusal }
        switch namespace.isEnabled {
        case true?: return nil
        case false?:
            return Refusal(
                code: .disabled, reason: "the namespace is not enabled", remedy: "echo 1 > \(folder)/enable")
        case nil:
            return Refusal(code: .unreadable, reason: "\(folder)/enable cannot be read", remedy: "ask as root")
        }
    }

    /// With the switch on the kernel enables only what is on a PCI function of its own: it asks the disk's own parents,
    /// and a disk that is made of others, or has several paths, has none.
    private func driveRefusal(_ namespace: NVMeTarget.Namespace) -> Refusal? {
        let path = namespace.path ?? "it"
        let useDrive = "offer an NVMe drive's own block device, or switch p2pmem off"
        switch namespace.backing {
        case .block(_, .function): return nil
        case .file:
            return Refusal(
                code: .drive, reason: "\(path) is a file: with p2pmem on, the kernel refuses to enable it (EINVAL)",
                remedy: useDrive)
        case .unreadable, .block(_, .unreadable):
            return Refusal(
                code: .unreadable,
                reason: namespace.path == nil
                    ? "the namespace has no device_path" : "which block device \(path) is cannot be told")
        case .block(let name, .paths):
            return Refusal(
                code: .drive,
                reason: "\(name) is a multipath disk, which is on no PCI function of its own: with p2pmem on, the "
                    + "kernel refuses to enable it (EINVAL)",
                remedy: "boot with nvme_core.multipath=N, or switch p2pmem off")
        case .block(let name, _):
            return Refusal(
                code: .drive,
                reason: "\(name) is on no PCI function of its own: with p2pmem on, the kernel refuses to enable it "
                    + "(EINVAL)",
                remedy: useDrive)
        }
    }

    private func transportRefusal(_ port: NVMeTarget.Port) -> Refusal? {
        if port.transport == "rdma" { return nil }
        let transport = port.transport.isEmpty ? "none yet" : port.transport
        return Refusal(
            code: .transport, reason: "the port's transport is \(transport), and RDMA alone takes p2pmem",
            remedy: "offer the subsystem on a port with addr_trtype rdma")
    }

    private func deviceRefusal(_ device: String) -> Refusal? {
        switch topology.rdmaDevices[device] {
        case .function?: return nil
        case .software?:
            return Refusal(
                code: .softwareDevice,
                reason: "\(device) is a software device: the CPU moves its bytes, and the target takes no p2pmem for "
                    + "it, whatever the switch says",
                remedy: "listen on an address of an RDMA device with hardware of its own")
        case nil where topology.isShown:
            return Refusal(
                code: .noDevice, reason: "there is no RDMA device \(device)",
                remedy: "see rdma link show for those that there are")
        case nil, .unreadable?:
            return Refusal(code: .unreadable, reason: "which PCI function \(device) belongs to cannot be read")
        case .notPCI?, .paths?, .array?, .stacked?:
            return Refusal(
                code: .notPCI, reason: "\(device) is on no PCI function, and the target takes no p2pmem for it",
                remedy: "listen on an address of an RDMA device on PCI")
        }
    }
}

extension NVMeTargetJudge.Refusal: Error {}
