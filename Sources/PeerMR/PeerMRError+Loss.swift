// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore
internal import Verbs

extension PeerMRError {
    package static let lossErrors = ErrorSection(
        "Using a region",
        [
            lossShown, neverBegan, regionRefused, memoryTakenBack, deviceFailing, transportOfRegion, transferOfRegion,
            providerGone, driverLeaving, driverGone, deviceGone, postFailed, pollFailed, noAnswer,
        ])
}

// What the end of a request means.
extension PeerMRError {
    static let lossShown = ErrorTable(
        facts: "what happened", "completion", .optional("", "remedy")
    ) { loss, completion, remedy in
        ErrorRow(nil, "\(loss); the NIC says \(completion)", "\(remedy)")
    }
    static let neverBegan = ErrorTable(facts: "completion") { completion in
        ErrorRow(.disconnected, "the request never began: \(completion)")
            .with(remedy: "look at the first request of this queue pair that failed")
    }
    static let regionRefused = ErrorTable(facts: "completion") { completion in
        ErrorRow(.invalidArgument, "the NIC may not do this to the region: \(completion)")
            .with(remedy: "compare address, length and access of the request with those of the region")
    }
    static let memoryTakenBack = ErrorTable(facts: "completion", "region") { completion, region in
        ErrorRow(
            .memoryRevoked,
            "the NIC can no longer access the memory of \(region): its exporter has revoked it (reset, power state, "
                + "driver), for a while or for good; the NIC says \(completion)",
            "release the region, export or allocate the memory anew and register that; where this comes with the first "
                + "request, compare address, length and access with those of the region")
    }
    static let deviceFailing = ErrorTable(facts: "device", "completion") { device, completion in
        ErrorRow(.disconnected, "\(device) is being removed, or has failed: \(completion)")
            .with(remedy: "release all that was made from it; open it anew when it is back")
    }
    static let transportOfRegion = ErrorTable(facts: "region", "completion", "hint") { region, completion, hint in
        ErrorRow(.disconnected, "a transfer through \(region) failed: \(completion): \(hint)")
            .with(remedy: "see the kernel log (dmesg), and the device's port (rdma link)")
    }
    static let transferOfRegion = ErrorTable(facts: "region", "completion", "hint") { region, completion, hint in
        ErrorRow(.system, "a transfer through \(region) failed: \(completion): \(hint)")
            .with(remedy: "see the kernel log (dmesg), and the device's port (rdma link)")
    }
}

// What has become of the memory, and of the NIC.
extension PeerMRError {
    static let providerGone = ErrorTable(facts: "provider", "region") { provider, region in
        ErrorRow(.memoryRevoked, "\(region) has lost its memory: the PCI function \(provider) was removed")
            .with(remedy: "release the region; allocate and register anew when the device is back")
    }
    static let driverLeaving = ErrorTable(facts: "provider", "driver", "region") { provider, driver, region in
        ErrorRow(
            .memoryRevoked,
            "\(region) is about to lose its memory: \(provider) is being unbound from \(driver), which waits for it",
            "release the region and the device: the unbinding waits for that")
    }
    static let driverGone = ErrorTable(
        facts: "provider", "driver", "driver now", "region"
    ) { provider, driver, now, region in
        ErrorRow(
            .memoryRevoked, "\(region) has lost its memory: \(provider) had the driver \(driver), and has \(now) now",
            "release the region; bind the driver, then allocate and register anew")
    }

    static func driverChanged(
        _ provider: PCIAddress, was: String?, is now: String?, _ region: String
    ) -> PeerMRError {
        if let was, was.contains("vfio"), now == nil { return driverLeaving(provider, was, region) }
        return driverGone(provider, was ?? "none", now ?? "none", region)
    }

    static let deviceGone = ErrorTable(facts: "device") { device in
        ErrorRow(.disconnected, "the RDMA device \(device) is gone: it was removed, or lost its driver")
            .with(remedy: "release all that was made from it; open it anew when it is back")
    }

    /// Drivers answer in many ways when their device has gone; the list of devices knows.
    static func withoutNIC(_ device: Device) -> PeerMRError? {
        guard let all = try? Device.all(), !all.contains(device) else { return nil }
        return deviceGone(device)
    }
}

// Requests of a proof.
extension PeerMRError {
    static let postFailed = ErrorTable("ibv_post_send", facts: "device") { device in
        ErrorRow(.system, "\(device) takes no request to look at the region")
            .with(remedy: "see the kernel log (dmesg): the device may have been removed or reset")
    }

    static func notPosted(_ errno: Errno, _ device: Device) -> PeerMRError {
        withoutNIC(device) ?? postFailed(errno, device)
    }

    static let pollFailed = ErrorTable("ibv_poll_cq", facts: "device") { device in
        ErrorRow(.system, "the completions of \(device) cannot be read")
            .with(remedy: "see the kernel log (dmesg): the device may have been removed or reset")
    }

    static func notPolled(_ errno: Errno, _ device: Device) -> PeerMRError {
        withoutNIC(device) ?? pollFailed(errno, device)
    }

    static let noAnswer = ErrorTable(facts: "milliseconds", "device") { milliseconds, device in
        ErrorRow(
            .disconnected, "\(device) has not answered within \(milliseconds) ms",
            "see the kernel log (dmesg): the device may have been removed or reset, or its port may be down")
    }

    static func noCompletion(_ milliseconds: UInt64, _ device: Device) -> PeerMRError {
        withoutNIC(device) ?? noAnswer(milliseconds, device)
    }
}
