// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import PCITopology
import PeerMR
import PeerMRCore

/// What a shell offers where a device of this machine is named: `peermr --generate-completion-script` has it asked for.
enum Completions {
    /// RDMA devices.
    static var rdmaDevices: CompletionKind { offered { $0.rdma.map(\.name) } }
    /// Functions with memory for others.
    static var providers: CompletionKind { offered { $0.providers.map { "\($0)" } } }
    /// The devices that read or write it, by name and by address.
    static var clients: CompletionKind {
        offered { machine in
            (machine.rdma + machine.disks).map(\.name) + machine.clients.map { "\($0)" }
        }
    }
    /// Functions that are no bridges.
    static var functions: CompletionKind { offered { $0.endpoints.map { "\($0)" } } }

    /// Those that begin as the word does which is being typed; the machine is read when the shell asks.
    private static func offered(_ words: @escaping @Sendable (Machine) -> [String]) -> CompletionKind {
        .custom { _, _, prefix in words(Machine(.live)).filter { $0.hasPrefix(prefix) } }
    }
}
