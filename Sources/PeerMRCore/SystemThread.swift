// SPDX-License-Identifier: Apache-2.0

internal import Glibc
package import SystemPackage

/// A thread of the system, which runs one body and must be joined.
package struct SystemThread: Sendable {
    private let thread: pthread_t

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts it.
    ///
    /// - Throws: EAGAIN where the system gives no more threads. The corresponding C function is `pthread_create`.
    package init(_ run: @escaping @Sendable () -> Void) throws(Errno) {
        var made = pthread_t()
        let body = unsafe Unmanaged.passRetained(Body(run))
        let failure = unsafe pthread_create(
            &made, nil,
            { body in
                guard let body = unsafe body else { return nil }
                unsafe Unmanaged<Body>.fromOpaque(body).takeRetainedValue().run()
                return nil
            }, body.toOpaque())
        guard failure == 0 else {
            unsafe body.release()
            throw Errno(rawValue: failure)
        }
        thread = made
    }

    /// Waits for its end. Once for each thread.
    package func join() { _ = pthread_join(thread, nil) }
}
