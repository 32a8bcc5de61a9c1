// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

public import CPeerMR
internal import CThreadTexts
internal import PeerMRCore

extension PeerMRError {
    /// The class of the failure, as C has it.
    var status: peermr_status {
        switch code {
        case .notFound: PEERMR_NOT_FOUND
        case .notSupported: PEERMR_NOT_SUPPORTED
        case .unsafeConfiguration: PEERMR_UNSAFE_HERE
        case .invalidArgument: PEERMR_INVALID_ARGUMENT
        case .resourceLimit: PEERMR_RESOURCE_LIMIT
        case .busy: PEERMR_BUSY
        case .notPermitted: PEERMR_NOT_PERMITTED
        case .refused: PEERMR_REFUSED
        case .protocolViolation: PEERMR_PROTOCOL_VIOLATION
        case .disconnected, .memoryRevoked: PEERMR_PEER_LOST
        case .dataMismatch: PEERMR_DATA_MISMATCH
        default: PEERMR_SYSTEM
        }
    }
}

/// Runs the body of a function that returns a status: what it throws is this thread's last failure, and texts of
/// earlier ones are freed.
func report(_ body: () throws(PeerMRError) -> Void) -> peermr_status {
    // Not before the body: the application may pass such a text.
    defer { ThreadTexts.releaseKept() }
    do throws(PeerMRError) {
        try body()
        return PEERMR_OK
    } catch {
        ThreadTexts.setError(error, keeping: false)
        return error.status
    }
}

/// Runs the body of a function that returns something else: what it throws is this thread's last failure, and texts of
/// earlier ones stay valid, as the header says.
///
/// - Returns: what the body does; nil where it throws.
func value<Value>(_ body: () throws(PeerMRError) -> Value) -> Value? {
    do throws(PeerMRError) {
        return try body()
    } catch {
        ThreadTexts.setError(error, keeping: true)
        return nil
    }
}

@c @implementation
public func peermr_last_error(_ out: UnsafeMutablePointer<peermr_error>?) -> peermr_status {
    do throws(PeerMRError) {
        let out = unsafe try Structs.validate(out, "peermr_error")
        guard let record = unsafe ThreadTexts.error?.pointee else { return PEERMR_OK }
        unsafe Structs.fill(
            out,
            peermr_error(
                struct_size: 0, status: peermr_status(UInt32(bitPattern: record.first)), error_number: record.second,
                call: record.texts.0, reason: record.texts.1, remedy: record.texts.2, message: record.texts.3))
        return PEERMR_OK
    } catch {
        return error.status
    }
}

/// A text of the program's own.
func literal(_ text: StaticString) -> UnsafePointer<CChar>? {
    unsafe UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

@c @implementation
public func peermr_version() -> UnsafePointer<CChar>? {
    unsafe literal("0.1.0")
}

@c @implementation
public func peermr_status_name(_ status: peermr_status) -> UnsafePointer<CChar>? {
    switch status {
    case PEERMR_OK: unsafe literal("PEERMR_OK")
    case PEERMR_NOT_FOUND: unsafe literal("PEERMR_NOT_FOUND")
    case PEERMR_NOT_SUPPORTED: unsafe literal("PEERMR_NOT_SUPPORTED")
    case PEERMR_UNSAFE_HERE: unsafe literal("PEERMR_UNSAFE_HERE")
    case PEERMR_INVALID_ARGUMENT: unsafe literal("PEERMR_INVALID_ARGUMENT")
    case PEERMR_RESOURCE_LIMIT: unsafe literal("PEERMR_RESOURCE_LIMIT")
    case PEERMR_BUSY: unsafe literal("PEERMR_BUSY")
    case PEERMR_NOT_PERMITTED: unsafe literal("PEERMR_NOT_PERMITTED")
    case PEERMR_REFUSED: unsafe literal("PEERMR_REFUSED")
    case PEERMR_PROTOCOL_VIOLATION: unsafe literal("PEERMR_PROTOCOL_VIOLATION")
    case PEERMR_PEER_LOST: unsafe literal("PEERMR_PEER_LOST")
    case PEERMR_DATA_MISMATCH: unsafe literal("PEERMR_DATA_MISMATCH")
    case PEERMR_SYSTEM: unsafe literal("PEERMR_SYSTEM")
    default: unsafe literal("PEERMR_?")
    }
}
