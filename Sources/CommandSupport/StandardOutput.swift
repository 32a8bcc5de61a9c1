// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import PeerMRCore
internal import Synchronization
internal import SystemPackage

/// Writes text to standard output or standard error.
///
/// What cannot be written is remembered: see ``LostOutput``. Nothing follows on a descriptor that has lost something,
/// and the program's work goes on.
package func writeAll(_ descriptor: Int32, _ text: String) {
    guard !LostOutput.hasLost(descriptor) else { return }
    var text = text
    let failure = text.withUTF8 { bytes in unsafe writeBytes(bytes, to: descriptor) }
    if let failure { LostOutput.record(descriptor, failure) }
}

/// Writes all bytes, and waits where the descriptor does not.
///
/// - Returns: why they could not be written; nil where they were.
func writeBytes(_ bytes: UnsafeBufferPointer<UInt8>, to descriptor: Int32) -> Errno? {
    var left = UnsafeRawBufferPointer(bytes)
    while unsafe !left.isEmpty {
        let count = unsafe write(descriptor, left.baseAddress, left.count)
        if count > 0 {
            unsafe left = UnsafeRawBufferPointer(rebasing: left.dropFirst(count))
            continue
        }
        let errno = count == 0 ? .ioError : currentErrno()
        switch errno {
        case .interrupted: continue
        case .wouldBlock:
            // Another process that has this pipe or terminal open has made it so.
            var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            _ = unsafe poll(&wanted, 1, 1000)
        default: return errno
        }
    }
    return nil
}

/// Prints a value on one line of standard output.
package func printJSON(_ value: JSONValue) {
    writeAll(1, value.encoded + "\n")
}

/// What was written to standard output or standard error, and has not arrived.
package enum LostOutput {
    /// The number of the first error on each of the two.
    private static let output = Atomic<Int32>(0)
    private static let error = Atomic<Int32>(0)

    static func hasLost(_ descriptor: Int32) -> Bool {
        descriptor == 2 ? error.load(ordering: .relaxed) != 0 : output.load(ordering: .relaxed) != 0
    }

    static func record(_ descriptor: Int32, _ errno: Errno) {
        let number = errno.rawValue
        if descriptor == 2 {
            _ = error.compareExchange(expected: 0, desired: number, ordering: .relaxed)
        } else {
            _ = output.compareExchange(expected: 0, desired: number, ordering: .relaxed)
        }
    }

    /// Whether something has been lost until now, so that a program need not go on for what nobody reads.
    package static var hasHappened: Bool { hasLost(1) || hasLost(2) }

    /// Why output has been lost; nil where nothing was.
    static var failure: (stream: String, errno: Errno)? {
        let (output, error) = (output.load(ordering: .relaxed), error.load(ordering: .relaxed))
        if output != 0 { return ("standard output", Errno(rawValue: output)) }
        return error == 0 ? nil : ("standard error", Errno(rawValue: error))
    }

    /// Ends with a failure a program that prints, where that cannot be written: `print(_:)` keeps it until the end.
    package static func watchPrints() {
        atexit {
            guard fflush(nil) != 0 else { return }
            unsafe perror("output")
            _exit(EXIT_FAILURE)
        }
    }

    /// Closes standard output: file systems over a network say only then that they are full.
    static func finish(_ close: (Int32) -> Int32 = { Glibc.close($0) }) {
        guard !hasLost(1), close(1) != 0, currentErrno() != .badFileDescriptor else { return }
        record(1, currentErrno())
    }
}

extension PeerMRError {
    /// Bytes that could not be written. See: man 2 write
    ///
    /// - Parameter place: what was written to, as a sentence has it.
    static func lostOutput(_ call: String, _ errno: Errno, _ place: String) -> PeerMRError {
        let (code, cause, remedy): (Code, String?, String?) =
            switch errno {
            case .noSpace: (.resourceLimit, "the disk is full", "make room for it")
            case Errno(rawValue: EDQUOT):
                (.resourceLimit, "the user's share of the disk is used up", "make room for it, or raise the quota")
            case .fileTooLarge:
                (.resourceLimit, "a file may not be as large here", "raise the limit (ulimit -f), or write elsewhere")
            case .noSuchFileOrDirectory:
                (.notFound, nil, "name a file in a directory that exists and that you may write to")
            case .permissionDenied, .notPermitted, .readOnlyFileSystem:
                (.notPermitted, nil, "name a file in a directory that exists and that you may write to")
            case .badFileDescriptor: (.system, "it is not open", nil)
            case .ioError: (.system, nil, "see the kernel log (dmesg) for what its drive says")
            default: (.system, nil, "name a file in a directory that exists and that you may write to")
            }
        return PeerMRError(
            code, call: call, errno: errno, reason: "\(place) cannot be written\(cause.map { ": \($0)" } ?? "")",
            remedy: remedy)
    }
}
