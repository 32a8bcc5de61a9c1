// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Writes text to a descriptor; a closed pipe ends the output, not the program's work.
package func writeAll(_ descriptor: Int32, _ text: String) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        let count = unsafe bytes.withUnsafeBytes { buffer in
            unsafe write(descriptor, buffer.baseAddress, buffer.count)
        }
        guard count > 0 else { return }
        bytes = bytes.dropFirst(count)
    }
}

/// Prints a value on one line of standard output.
package func printJSON(_ value: JSONValue) {
    writeAll(1, value.encoded + "\n")
}
