// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

internal import CLeases
public import CPeerMR
internal import PeerMR
internal import PeerMRCore
internal import Verbs

/// A reader that an application holds, its cache, and the thread that may use it.
@safe
final class ReaderBox: @unchecked Sendable {
    let cache: RegistrationCache
    let thread: UInt64
    /// Apart, so that using it is no access to a variable of the object's, which the runtime would check.
    let reader: UnsafeMutablePointer<CacheReader>

    init(_ cache: RegistrationCache) throws(PeerMRError) {
        thread = peermr_handle_use(PEERMR_PLACE_READER, 0)
        guard thread != 0 else { throw .threadMemory() }
        let made = try cache.reader()
        self.cache = cache
        unsafe reader = .allocate(capacity: 1)
        unsafe reader.initialize(to: made)
    }

    deinit {
        unsafe reader.deinitialize(count: 1)
        unsafe reader.deallocate()
    }
}

@c @implementation
public func peermr_reader_create(
    _ cache: OpaquePointer?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try validate(out)
        let box = unsafe try Live.caches.use(cache) { (box) throws(PeerMRError) in try ReaderBox(box.cache) }
        unsafe out.pointee = try Live.readers.add(box)
    }
}

// As in Lease.swift: what is found is found here, and the rest is done anew out of line.
@c @implementation
public func peermr_reader_find(
    _ reader: OpaquePointer?, _ request: OpaquePointer?, _ offset: UInt64, _ length: UInt64,
    _ out: UnsafeMutablePointer<peermr_lease>?
) -> peermr_status {
    if let out = unsafe out, unsafe out.pointee.struct_size == MemoryLayout<peermr_lease>.size,
        unsafe find(reader, request, offset, length, out)
    {
        return PEERMR_OK
    }
    return unsafe refuse(reader, request, offset, length, out)
}

@inline(__always)
private func find(
    _ reader: OpaquePointer?, _ request: OpaquePointer?, _ offset: UInt64, _ length: UInt64,
    _ out: UnsafeMutablePointer<peermr_lease>
) -> Bool {
    let thread = peermr_handle_use(PEERMR_PLACE_READER, UInt(bitPattern: reader))
    defer { peermr_handle_leave(PEERMR_PLACE_READER) }
    guard peermr_handle_use(PEERMR_PLACE_REQUEST, UInt(bitPattern: request)) != 0 else { return false }
    defer { peermr_handle_leave(PEERMR_PLACE_REQUEST) }
    guard let own = unsafe HandleTable<ReaderBox>.noted(PEERMR_ROOT_READERS, reader, .reader),
        let box = unsafe HandleTable<BoundRequest>.noted(PEERMR_ROOT_REQUESTS, request, .request)
    else { return false }
    return unsafe own._withUnsafeGuaranteedRef { own in
        guard own.thread == thread else { return false }
        return unsafe box._withUnsafeGuaranteedRef { box in
            guard
                let keys = unsafe own.reader.pointee.keys(
                    box, at: Int(clamping: offset), count: Int(clamping: length))
            else { return false }
            unsafe out.pointee.fill(keys, 0)
            return true
        }
    }
}

@inline(never)
private func refuse(
    _ reader: OpaquePointer?, _ request: OpaquePointer?, _ offset: UInt64, _ length: UInt64,
    _ out: UnsafeMutablePointer<peermr_lease>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        _ = unsafe try Structs.validate(out, "peermr_lease")
        unsafe try borrow(reader) { (own) throws(PeerMRError) in
            unsafe try Live.requests.borrow(request, PEERMR_PLACE_REQUEST) { (box, _) throws(PeerMRError) in
                throw own.cache.refusal(of: box.request, at: Int(clamping: offset), count: Int(clamping: length))
                    ?? .notInCache()
            }
        }
    }
}

/// Runs a body on a reader of the calling thread's, which nobody frees meanwhile.
private func borrow(
    _ reader: OpaquePointer?, _ body: (ReaderBox) throws(PeerMRError) -> Void
) throws(PeerMRError) {
    unsafe try Live.readers.borrow(reader, PEERMR_PLACE_READER) { (own, thread) throws(PeerMRError) in
        guard own.thread == thread else { throw .readerOfOther() }
        try body(own)
    }
}

@c @implementation
public func peermr_reader_advance(_ reader: OpaquePointer?) -> peermr_status {
    report { () throws(PeerMRError) in
        unsafe try borrow(reader) { (own) throws(PeerMRError) in unsafe own.reader.pointee.advance() }
    }
}

@c @implementation
public func peermr_reader_free(_ reader: OpaquePointer?) -> peermr_status {
    report { () throws(PeerMRError) in
        unsafe try Live.readers.end(reader) { (_) throws(PeerMRError) in }
    }
}
