// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let cacheErrors = ErrorSection(
        "Keeping regions in a cache",
        [
            cacheLimit, cacheMemory, cacheOfParent, cacheFull, cacheNames, outsideCached, requestOfOther, domainLeased,
            domainReleased, partOfDeviceMemory, addressWithoutIdentity, addressOfDevice, addressTwice,
        ])

    static let cacheLimit = ErrorTable(facts: "name", "value", "most") { name, value, most in
        ErrorRow(.invalidArgument, "\(value) is no limit of \(name) for a cache", "name one from 1 to \(most)")
    }
    static let cacheMemory = ErrorTable("mmap") {
        ErrorRow(.resourceLimit, "there is no memory for the cache", "free some, or make a cache with a lower limit")
    }
    package static let cacheOfParent = ErrorTable {
        ErrorRow(
            .notSupported, "the cache was made by the parent of this process, whose regions cannot be used here",
            "make one in this process, and open the device again")
    }
    static let cacheFull = ErrorTable(facts: "limit") { limit in
        ErrorRow(.resourceLimit, "a cache for \(limit) regions has many more that were leased when they ended")
            .with(remedy: "give leases back and let readers advance, or raise the limit")
    }
    static let cacheNames = ErrorTable(facts: "kind", "most") { kind, most in
        ErrorRow(.resourceLimit, "a cache distinguishes \(most) \(kind) at most", "use several caches")
    }
    static let outsideCached = ErrorTable(facts: "count", "offset", "size") { count, offset, whole in
        ErrorRow(.invalidArgument, "\(count) bytes at offset \(offset) are no part of a memory of \(whole) bytes")
            .with(remedy: "name a part that is, of at least one byte")
    }
    static let addressWithoutIdentity = ErrorTable {
        ErrorRow(
            .invalidArgument, "host memory by its address has no identity: other memory may be mapped there next",
            "make a HostArena of it, or allocate HostMemory")
    }
    static let addressOfDevice = ErrorTable(facts: "object") { object in
        ErrorRow(
            .notSupported, "\(object) is not known by its address: the kernel does not tell whose mapping it is",
            "export it as a dma-buf, and look that up")
    }
    static let addressTwice = ErrorTable {
        ErrorRow(
            .invalidArgument, "memory that is looked up by its address has that as its I/O address, and no other",
            "leave the I/O address out")
    }
    static let requestOfOther = ErrorTable {
        ErrorRow(.invalidArgument, "the request is of another cache", "use the cache that made it")
    }
    static let domainReleased = ErrorTable {
        ErrorRow(
            .invalidArgument, "the cache has released the protection domain of this request",
            "make a request of a domain that is still allocated")
    }
    static let domainLeased = ErrorTable(facts: "count") { count in
        ErrorRow(
            .busy, "\(count) regions of the protection domain are leased, seen by a reader, or being registered",
            "give the leases back, let readers advance, and call this once more")
    }
    static let partOfDeviceMemory = ErrorTable {
        ErrorRow(.notSupported, "a part of the NIC's own memory cannot be registered by itself", "register all of it")
    }
}
