// SPDX-License-Identifier: Apache-2.0

internal import CBlkid

/// What a device holds, as libblkid knows it: a partition table, a file system, a volume.
enum ContentSignature {
    /// Looks for what the device holds; nil where libblkid finds nothing.
    static func find(on descriptor: Int32) -> String? {
        guard let probe = unsafe blkid_new_probe() else { return "something that cannot be examined" }
        defer { unsafe blkid_free_probe(probe) }
        guard unsafe blkid_probe_set_device(probe, descriptor, 0, 0) == 0 else {
            return "something that cannot be examined"
        }
        _ = unsafe blkid_probe_enable_superblocks(probe, 1)
        _ = unsafe blkid_probe_enable_partitions(probe, 1)
        // 0: found; 1: nothing; -2: several that contradict each other; -1: an error (libblkid(3)).
        let result = unsafe blkid_do_safeprobe(probe)
        if result == 1 { return nil }
        if let table = unsafe value("PTTYPE", of: probe) { return "a partition table (\(table))" }
        if let type = unsafe value("TYPE", of: probe) { return "data of type \(type)" }
        return result == 0 || result == -2 ? "data of several types" : "something that cannot be read"
    }

    private static func value(_ name: String, of probe: blkid_probe) -> String? {
        var text: UnsafePointer<CChar>?
        guard unsafe blkid_probe_lookup_value(probe, name, &text, nil) == 0, let text = unsafe text
        else { return nil }
        return unsafe String(cString: text)
    }
}
