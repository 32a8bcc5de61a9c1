// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemPackage
internal import PeerMRCore

/// Whole reads and writes at a place of a descriptor.
enum DescriptorBytes {
    /// - Throws: the errno of pread(2); EIO where the end is reached before all is read.
    static func read(_ descriptor: Int32, into bytes: inout MutableRawSpan, at offset: UInt64) throws(Errno) {
        try unsafe bytes.withUnsafeMutableBytes { (local) throws(Errno) in
            try all(local.count, offset) { done, place in
                unsafe pread(descriptor, local.baseAddress.map { unsafe $0 + done }, local.count - done, place)
            }
        }
    }

    /// - Throws: the errno of pwrite(2); EIO where the end is reached before all is written.
    static func write(_ descriptor: Int32, _ bytes: RawSpan, at offset: UInt64) throws(Errno) {
        try unsafe bytes.withUnsafeBytes { (local) throws(Errno) in
            try all(local.count, offset) { done, place in
                unsafe pwrite(descriptor, local.baseAddress.map { unsafe $0 + done }, local.count - done, place)
            }
        }
    }

    private static func all(_ count: Int, _ offset: UInt64, _ step: (Int, off_t) -> Int) throws(Errno) {
        var done = 0
        while done < count {
            guard let place = off_t(exactly: offset + UInt64(done)) else { throw .invalidArgument }
            let moved = step(done, place)
            if moved < 0 {
                let error = currentErrno()
                if error == .interrupted { continue }
                throw error
            }
            if moved == 0 { throw .ioError }
            done += moved
        }
    }
}
