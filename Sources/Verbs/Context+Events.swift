// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// What a device tells of itself, at no request's end.
public struct DeviceEvent: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// The value of `enum ibv_event_type`.
    public let rawValue: UInt32
    /// Wraps a value of `enum ibv_event_type`.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A completion queue has lost completions.
    public static let completionQueueError = DeviceEvent(rawValue: 0)
    /// The device has failed, or is gone; nothing of it can be used on.
    public static let deviceFatal = DeviceEvent(rawValue: 8)
    /// A port has a link.
    public static let portActive = DeviceEvent(rawValue: 9)
    /// A port has lost its link.
    public static let portError = DeviceEvent(rawValue: 10)

    /// The C library's words.
    public var description: String {
        guard rawValue <= 19, let text = unsafe ibv_event_type_str(ibv_event_type(rawValue: rawValue)) else {
            return "device event \(rawValue)"
        }
        return unsafe String(cString: text)
    }
}

extension Context {
    /// The descriptor to wait on for events of the device.
    public var eventDescriptor: Int32 { unsafe raw.pointee.async_fd }

    /// Makes taking events return at once where there is none: for all that use this context.
    ///
    /// - Throws: the errno of fcntl(2).
    public func makeEventsNonBlocking() throws(PeerMRError) {
        do { try OwnedDescriptor.setNonBlocking(eventDescriptor) } catch {
            throw .query("fcntl", error, device)
        }
    }

    /// Takes one event, and acknowledges it. Waits for one, but for after ``makeEventsNonBlocking()``.
    ///
    /// - Returns: nil where there is none. The corresponding C functions are `ibv_get_async_event` and
    ///   `ibv_ack_async_event`.
    public func nextEvent() -> DeviceEvent? {
        var event = unsafe ibv_async_event()
        guard unsafe ibv_get_async_event(raw, &event) == 0 else { return nil }
        // A queue pair is not destroyed before its events have been acknowledged.
        defer { unsafe ibv_ack_async_event(&event) }
        return unsafe DeviceEvent(rawValue: event.event_type.rawValue)
    }
}
