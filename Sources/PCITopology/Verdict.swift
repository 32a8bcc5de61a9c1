// SPDX-License-Identifier: Apache-2.0

/// The kernel's answer for a client and a provider, without the reasons.
public struct Verdict: Hashable, Sendable {
    /// How memory would be mapped, where it is: it may be known while ``isSupported`` is not.
    public let mapType: MapType
    /// Whether the kernel would allow it at all: nil where that depends on what could not be read. A route whose
    /// ``mapType`` is unknown can still be certain to be allowed.
    public let isSupported: Bool?
    /// Steps between the two, as the kernel counts them; negative where there is no route at all.
    public let distance: Int

    /// An answer given by its parts.
    package init(mapType: MapType, isSupported: Bool?, distance: Int) {
        self.mapType = mapType
        self.isSupported = isSupported
        self.distance = distance
    }

    /// The same, when it is not known whether the kernel allows it.
    var withoutAnswer: Verdict { Verdict(mapType: mapType, isSupported: nil, distance: distance) }

    /// Nothing is known.
    public static let unknown = Verdict(mapType: .unknown, isSupported: nil, distance: -1)
}
