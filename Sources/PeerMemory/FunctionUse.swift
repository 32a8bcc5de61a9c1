// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemPackage
internal import PCITopology
internal import PeerMRCore

/// What of a PCI function is in use, so that taking its driver away would hurt someone.
enum FunctionUse {
    static func find(of address: PCIAddress, _ root: SystemRoot) -> [VFIOBinding.Use] {
        disks(of: address, root) + interfaces(of: address, root)
    }

    private static func disks(of address: PCIAddress, _ root: SystemRoot) -> [VFIOBinding.Use] {
        var mounts: [String: String] = [:]
        for line in root.attribute("proc/self/mountinfo")?.split(separator: "\n") ?? [] {
            let words = line.split(separator: " ")
            if words.count > 4 { mounts[String(words[2])] = String(words[4]) }
        }
        let swaps = (root.attribute("proc/swaps") ?? "").split(separator: "\n").dropFirst()
            .compactMap { $0.split(separator: " ").first.map { String($0) } }
        var found: [VFIOBinding.Use] = []
        for name in root.entries("sys/class/block") ?? []
        where DeviceLinks.function(ofBlockDevice: name, root: root) == address {
            let entry = "sys/class/block/\(name)"
            if let place = root.attribute("\(entry)/dev").flatMap({ mounts[$0] }) {
                found.append(.init(device: name, how: "is mounted on \(place)", remedy: "umount \(place)"))
            } else if swaps.contains("/dev/\(name)") {
                found.append(.init(device: name, how: "is swapped to", remedy: "swapoff /dev/\(name)"))
            } else if let holder = root.entries("\(entry)/holders")?.first {
                found.append(
                    .init(
                        device: name, how: "is part of \(holder)",
                        remedy: "take that apart first (dmsetup, mdadm --stop, vgchange -an)"))
            } else if isHeld(root.appending("dev/\(name)")) {
                found.append(
                    .init(
                        device: name, how: "is opened by someone who wants it alone",
                        remedy: "see lsblk and fuser -v /dev/\(name), and end that"))
            }
        }
        // A disk is held as well when one of its partitions is: what says more comes first.
        return found.sorted { ($0.how.hasPrefix("is opened") ? 1 : 0) < ($1.how.hasPrefix("is opened") ? 1 : 0) }
    }

    /// Mounts of other namespaces, volumes and arrays claim a block device: an exclusive open is refused then.
    private static func isHeld(_ path: FilePath) -> Bool {
        guard blockNumber(of: path) != nil else { return false }
        do throws(Errno) {
            _ = try OwnedDescriptor(opening: path, flags: O_RDONLY | O_EXCL | O_NONBLOCK)
            return false
        } catch {
            return error == .resourceBusy
        }
    }

    private static func interfaces(of address: PCIAddress, _ root: SystemRoot) -> [VFIOBinding.Use] {
        (root.entries("sys/class/net") ?? []).compactMap { name in
            guard let path = root.realPath("sys/class/net/\(name)/device"),
                DeviceLinks.function(of: path, root: root) == address,
                let text = root.attribute("sys/class/net/\(name)/flags"),
                let flags = UInt32(text.dropFirst(2), radix: 16), flags & 1 != 0
            else { return nil }
            return .init(
                device: name, how: "is a network interface that is up", remedy: "ip link set \(name) down")
        }
    }
}
