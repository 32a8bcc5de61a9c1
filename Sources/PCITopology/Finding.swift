// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// Something that led to an answer, or that prevents one.
public struct Finding: Hashable, Sendable {
    /// What kind of thing it is, for programs.
    public struct Code: RawRepresentable, Hashable, Sendable {
        /// The name in JSON.
        public let rawValue: String
        /// Wraps a name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// Client and provider are one function.
        public static let sameFunction = Code(rawValue: "sameFunction")
        /// Both hang below one bridge, or are functions of one device.
        public static let commonUpstream = Code(rawValue: "commonUpstream")
        /// The kernel was built without peer-to-peer DMA.
        public static let noPeerToPeer = Code(rawValue: "noPeerToPeer")
        /// Whether the kernel was built with peer-to-peer DMA is not known.
        public static let peerToPeerUnknown = Code(rawValue: "peerToPeerUnknown")
        /// This is a confidential guest, or may be.
        public static let confidentialGuest = Code(rawValue: "confidentialGuest")
        /// All DMA goes through bounce buffers, or may.
        public static let bounceBuffers = Code(rawValue: "bounceBuffers")
        /// The kernel encrypts memory.
        public static let memoryEncryption = Code(rawValue: "memoryEncryption")
        /// The machine runs under Xen.
        public static let xen = Code(rawValue: "xen")
        /// DMA calls are the platform's own.
        public static let platformDMA = Code(rawValue: "platformDMA")
        /// The kernel has another rule about ACS than the one that is built here.
        public static let otherACSRule = Code(rawValue: "otherACSRule")
        /// A rule for guests of a hypervisor may allow what the list does not.
        public static let hypervisorUnknown = Code(rawValue: "hypervisorUnknown")
        /// sysfs does not show PCI devices here.
        public static let notShown = Code(rawValue: "notShown")
        /// They meet nowhere below the root complex.
        public static let noCommonUpstream = Code(rawValue: "noCommonUpstream")
        /// A function on the way sends peer-to-peer requests up to the root complex.
        public static let acsRedirect = Code(rawValue: "acsRedirect")
        /// Whether a function on the way redirects could not be read.
        public static let configUnreadable = Code(rawValue: "configUnreadable")
        /// The kernel allows every host bridge of this processor.
        public static let cpuAllows = Code(rawValue: "cpuAllows")
        /// The processor could not be read.
        public static let cpuUnknown = Code(rawValue: "cpuUnknown")
        /// A host bridge is on the kernel's list.
        public static let hostBridgeListed = Code(rawValue: "hostBridgeListed")
        /// A host bridge is not on the kernel's list.
        public static let hostBridgeNotListed = Code(rawValue: "hostBridgeNotListed")
        /// Whether a host bridge is on the kernel's list is not known.
        public static let hostBridgeUnknown = Code(rawValue: "hostBridgeUnknown")
        /// The client is a software device: the CPU moves its bytes, and the kernel's decision does not apply.
        public static let softwareDevice = Code(rawValue: "softwareDevice")
        /// A device is on no PCI function.
        public static let notPCI = Code(rawValue: "notPCI")
        /// A block device is made of others, and its DMA is theirs.
        public static let composed = Code(rawValue: "composed")
        /// A device has several PCI functions, any of which may do its DMA.
        public static let paths = Code(rawValue: "paths")
        /// What does the DMA of a device, or where it is in the tree, cannot be read.
        public static let placeUnreadable = Code(rawValue: "placeUnreadable")
        /// There is no function at an address.
        public static let noSuchDevice = Code(rawValue: "noSuchDevice")
        /// A bridge has no memory to offer and does no DMA.
        public static let isBridge = Code(rawValue: "isBridge")
        /// A function does not answer.
        public static let deadDevice = Code(rawValue: "deadDevice")
        /// An IOMMU prevents it, or is bypassed.
        public static let iommu = Code(rawValue: "iommu")
        /// Dma-bufs are reached by another function than the NIC's own.
        public static let dataDirect = Code(rawValue: "dataDirect")
        /// Whether dma-bufs are reached by another function than the NIC's own can be asked on its machine only.
        public static let dataDirectUnknown = Code(rawValue: "dataDirectUnknown")
        /// The driver that exports the provider's memory does not ask the kernel about the route.
        public static let exporterDoesNotAsk = Code(rawValue: "exporterDoesNotAsk")
        /// The driver that exports the provider's memory hands out memory of the host, always or where the route is
        /// refused.
        public static let exporterUsesHostMemory = Code(rawValue: "exporterUsesHostMemory")
        /// Whether the driver that may export the provider's memory asks the kernel about the route is not known.
        public static let exporterUnknown = Code(rawValue: "exporterUnknown")
        /// The provider publishes no p2pmem.
        public static let noPool = Code(rawValue: "noPool")
    }

    /// What kind of thing it is.
    public let code: Code
    /// The device that it is about, by address or name; nil where it is about none.
    public let device: String?
    /// What was found, in a sentence.
    public let detail: String
    /// What changes it; nil where nothing does, or nothing needs to.
    public let remedy: String?
    /// Whether it is certain, where the code alone does not tell.
    private let isCertain: Bool

    /// Something found. Names in the detail may be as they came: what a terminal acts upon becomes a question mark.
    public init(_ code: Code, _ device: String?, _ detail: String, remedy: String? = nil) {
        self.init(code, device, detail, remedy: remedy, isCertain: true)
    }

    init(_ code: Code, _ device: String?, _ detail: String, remedy: String?, isCertain: Bool) {
        self.code = code
        self.device = device
        self.detail = detail.printable
        self.remedy = remedy?.printable
        self.isCertain = isCertain
    }

    /// The same with another remedy.
    package func with(remedy: String?) -> Finding {
        Finding(code, device, detail, remedy: remedy, isCertain: isCertain)
    }
}

extension Finding {
    /// Whether it is a reason for the kernel to refuse.
    public var isBlocking: Bool {
        let codes: [Code] = [
            .noPeerToPeer, .acsRedirect, .hostBridgeNotListed, .noCommonUpstream, .softwareDevice, .notPCI, .composed,
            .noSuchDevice, .isBridge,
        ]
        return codes.contains(code) || Self.ofThePlatform.contains(code) && isCertain
    }

    /// What stands against a route for certain, or perhaps.
    private static let ofThePlatform: [Code] = [
        .confidentialGuest, .bounceBuffers, .memoryEncryption, .xen, .platformDMA,
    ]

    /// Whether it is a reason for not knowing.
    public var isInconclusive: Bool {
        let codes: [Code] = [
            .configUnreadable, .deadDevice, .cpuUnknown, .hostBridgeUnknown, .placeUnreadable, .exporterDoesNotAsk,
            .dataDirectUnknown,
            .peerToPeerUnknown, .otherACSRule, .hypervisorUnknown, .notShown,
        ]
        return codes.contains(code) || Self.ofThePlatform.contains(code) && !isCertain
    }
}
