// SPDX-License-Identifier: Apache-2.0

// `import PeerMR` is all that a user of the package writes.
@_exported public import PCITopology
@_exported public import PeerMemory
@_exported public import SystemPackage
@_exported public import PeerMRCore
@_exported public import Verbs
