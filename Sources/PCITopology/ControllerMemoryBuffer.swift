// SPDX-License-Identifier: Apache-2.0

package import PeerMRCore

/// What sysfs tells of an NVMe controller's memory buffer, whether or not the kernel publishes it as p2pmem.
///
/// The driver has `cmb`, `cmbloc` and `cmbsz` for controllers whose CMBSZ is not zero (drivers/nvme/host/pci.c,
/// `nvme_pci_attrs_are_visible`).
package enum ControllerMemoryBuffer: Equatable, Sendable {
    /// The controller has none, as far as its driver read.
    case none
    /// It has one: CMBSZ (NVMe base specification, section 3.1.4.14).
    case present(sizeRegister: UInt32)
    /// It cannot be told: the driver's attributes are not there.
    case unknown

    /// Reads the attributes of a controller, such as `nvme0`.
    package init(ofController name: String, root: SystemRoot) {
        let folder = "sys/class/nvme/\(name)"
        if let size = root.attribute("\(folder)/cmbsz").flatMap({ UInt32($0) }), size != 0 {
            self = .present(sizeRegister: size)
        } else if let size = root.attribute("\(folder)/cmb").flatMap(Self.sizeRegister), size != 0 {
            self = .present(sizeRegister: size)
        } else {
            // What every controller has tells that attributes are shown at all.
            self = Self.marks.contains { root.exists("\(folder)/\($0)") } ? .none : .unknown
        }
    }

    /// Attributes that every controller has.
    static let marks = ["transport", "state"]
    /// Attributes of one with a buffer.
    static let attributes = ["cmb", "cmbloc", "cmbsz"]

    /// The second line of `cmb`: `cmbsz  : x00a0001f`.
    private static func sizeRegister(_ text: String) -> UInt32? {
        for line in text.split(separator: "\n") where line.hasPrefix("cmbsz") {
            guard let digits = line.split(separator: "x").last else { return nil }
            return UInt32(digits, radix: 16)
        }
        return nil
    }

    /// Its size in bytes: SZ in units of 4 KiB times 16 to the power of SZU.
    package static func byteCount(_ register: UInt32) -> UInt64 {
        let shift = 12 + 4 * UInt64(register >> 8 & 0xf)
        return UInt64(register >> 12) << min(shift, 40)
    }

    /// Whether the controller reads and writes data there (RDS and WDS), and not only queues.
    package static func holdsData(_ register: UInt32) -> Bool { register & 0x18 == 0x18 }
}
