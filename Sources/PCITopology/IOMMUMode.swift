// SPDX-License-Identifier: Apache-2.0

/// What translates a function's DMA addresses.
public enum IOMMUMode: Hashable, Sendable {
    /// No IOMMU stands before it.
    case none
    /// It is in a group whose default domain is of this type: `DMA`, `DMA-FQ`, `identity`, `blocked`, ...
    case domain(type: String, group: String)

    /// Whether addresses are translated.
    public var translates: Bool {
        if case .domain(let type, _) = self { return type.hasPrefix("DMA") }
        return false
    }
}
