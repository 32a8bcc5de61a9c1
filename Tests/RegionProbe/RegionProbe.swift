// SPDX-License-Identifier: Apache-2.0
//
// region-probe: holds regions while their memory is taken away, and registers what should be refused. For the tests in
// the lab.
//
//   region-probe ACT ARGUMENT...
//
// Each line of standard output is one thing that was found: `NAME: VALUE`, or `NAME: CODE: SENTENCE` for an error. At
// the end it says how many descriptors are open that were not at the start.

import Glibc
import PeerMR

@main
struct RegionProbe {
    static func main() {
        var words = Array(CommandLine.arguments.dropFirst())
        guard let name = words.first, let act = acts[name] else {
            stop("usage: region-probe \(acts.keys.sorted().joined(separator: "|")) ARGUMENT...")
        }
        words.removeFirst()
        let before = descriptors()
        do throws(PeerMRError) {
            try act(words)
        } catch {
            tell("error", error)
        }
        tell("leaked", "\(descriptors().subtracting(before).sorted())")
    }

    static func stop(_ reason: String) -> Never {
        put("region-probe: \(reason)\n", 2)
        exit(1)
    }
}

/// Prints one thing that was found, at once.
func tell(_ name: String, _ value: String) { put("\(name): \(value)\n", 1) }

/// Prints an error.
func tell(_ name: String, _ error: PeerMRError) { tell(name, "\(error.code.jsonName): \(error)") }

/// Prints the error that something throws, or that it throws none.
func tellError(_ name: String, _ body: () throws(PeerMRError) -> Void) {
    do throws(PeerMRError) {
        try body()
        tell(name, "no error")
    } catch {
        tell(name, error)
    }
}

private func put(_ text: String, _ descriptor: Int32) {
    let bytes = Array(text.utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
}

private func descriptors() -> Set<Int32> {
    Set((0..<256).filter { fcntl($0, F_GETFD) >= 0 })
}
