// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

// Why no device publishes p2pmem.
extension Diagnosis {
    /// Nil where one does.
    static func ofThePool(_ machine: Machine) -> Diagnosis? {
        let functions = machine.topology.functions
        if functions.contains(where: { $0.poolBytes != nil }) { return nil }
        let drives = functions.filter(\.isNVMe)
        // Drivers of display and processing devices export dma-bufs, which need no p2pmem.
        let severity: Severity =
            functions.contains { $0.isLikelyProvider && !$0.isNVMe && $0.driver != nil } ? .limits : .blocks
        func diagnosis(_ device: String?, _ detail: String, _ remedy: String) -> Diagnosis {
            Diagnosis(
                severity, Finding.Code.noPool.rawValue, device, "no device publishes p2pmem\(detail)", remedy: remedy)
        }
        let held = drives.filter { $0.driver != "nvme" }
        if let first = held.first {
            return diagnosis("\(first.address)", held.map(Self.heldSentence).joined(), giveBack(held))
        }
        if drives.isEmpty {
            return diagnosis(nil, ", and there is no NVMe drive", Self.useAnotherDrive)
        }
        let buffers = machine.controllerBuffers
        if let (name, register) = buffers.compactMap({ name, buffer -> (String, UInt32)? in
            if case .present(let register) = buffer { (name, register) } else { nil }
        }).first {
            return unpublished(name, register, machine, diagnosis)
        }
        if buffers.isEmpty || buffers.contains(where: { $0.1 == .unknown }) {
            let whose = drives.count == 1 ? "the NVMe drive has" : "one of the \(drives.count) NVMe drives has"
            return diagnosis(
                nil, ", and whether \(whose) a controller memory buffer is not shown here",
                "cat /sys/class/nvme/nvme*/cmb (a drive without the file has none), and dmesg | grep -i -e cmb -e p2p "
                    + "for one that could not be registered")
        }
        let none =
            drives.count == 1
            ? "the NVMe drive has no controller memory buffer"
            : "none of the \(drives.count) NVMe drives has a controller memory buffer"
        return diagnosis(nil, ": \(none)", Self.useAnotherDrive)
    }

    private static let useAnotherDrive =
        "use a drive with a controller memory buffer that may hold data (nvme show-regs -H /dev/nvme0: CMBSZ, WDS and "
        + "RDS)"

    private static func heldSentence(_ drive: PCIFunction) -> String {
        ", and the NVMe drive \(drive.address) has \(drive.driver.map { "the driver \($0)" } ?? "no driver")"
    }

    /// Another driver has to let go of the function first, and an override keeps nvme from taking it.
    private static func giveBack(_ drives: [PCIFunction]) -> String {
        let shown = drives.prefix(4)
        let loop =
            "modprobe nvme; for d in \(shown.map { "\($0.address)" }.joined(separator: " ")); do "
            + "echo > /sys/bus/pci/devices/$d/driver_override; "
            + (shown.contains { $0.driver != nil }
                ? "test ! -e /sys/bus/pci/devices/$d/driver || echo $d > /sys/bus/pci/devices/$d/driver/unbind; " : "")
            + "echo $d > /sys/bus/pci/drivers_probe; done"
        let isVFIO = shown.contains { VFIOBinding.State.isVFIO($0.driver) }
        return loop + (isVFIO ? " (end the programs that use it first; peermr vfio unbind does the same)" : "")
    }

    /// The buffer is there, and no p2pmem.
    private static func unpublished(
        _ name: String, _ register: UInt32, _ machine: Machine,
        _ diagnosis: (String?, String, String) -> Diagnosis
    ) -> Diagnosis {
        let size = ByteCount.describe(ControllerMemoryBuffer.byteCount(register))
        let what = ": \(name) has a controller memory buffer of \(size), "
        guard ControllerMemoryBuffer.holdsData(register) else {
            return diagnosis(
                name, what + "which is for queues and may not hold data (CMBSZ without WDS and RDS)",
                Self.useAnotherDrive)
        }
        if machine.topology.hasPeerToPeer == false {
            return diagnosis(
                name, what + "and the kernel was built without CONFIG_PCI_P2PDMA, which publishes it",
                "boot a kernel that has it: grep CONFIG_PCI_P2PDMA /boot/config-*")
        }
        return diagnosis(
            name, what + "and the kernel does not publish it; why is in its log",
            "dmesg | grep -i -e cmb -e p2p (parts that are not aligned to 2 MiB cannot be used; before Linux 6.15 the "
                + "randomized direct map may leave no room for it, which nokaslr prevents)")
    }
}

extension Machine {
    /// NVMe controllers on PCI functions, with what is known of their buffers.
    var controllerBuffers: [(String, ControllerMemoryBuffer)] {
        (root.entries("sys/class/nvme") ?? []).compactMap { name in
            guard case .function? = DeviceLinks.attachment(ofController: name, root: root) else { return nil }
            return (name, ControllerMemoryBuffer(ofController: name, root: root))
        }
    }
}
