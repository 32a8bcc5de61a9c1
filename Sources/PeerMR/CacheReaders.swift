// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The place where one reader says what it may still see, alone in its cache line.
struct CacheReaderMark: ~Copyable {
    /// The epoch when the reader last let go of everything; regions that ended before it are not seen any more.
    let epoch = Atomic<UInt64>(0)
    private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0)
}

/// The readers of a cache. Under its lock; the marks are written by their readers.
struct CacheReaders {
    private final class Page: Sendable {
        let pages: CachePages
        static let count = 4096 / MemoryLayout<CacheReaderMark>.stride

        init?() {
            guard let pages = CachePages(byteCount: 4096) else { return nil }
            self.pages = pages
        }

        func mark(_ number: Int) -> UnsafeMutablePointer<CacheReaderMark> {
            unsafe pages.base.assumingMemoryBound(to: CacheReaderMark.self) + number
        }
    }

    private var pages: [Page] = []
    private var unused: [Int] = []
    private var used: Set<Int> = []

    var isEmpty: Bool { used.isEmpty }

    /// A mark for a new reader, which sees what is there now.
    ///
    /// - Returns: nil without memory.
    @unsafe mutating func add(at epoch: UInt64) -> (number: Int, mark: UnsafeMutablePointer<CacheReaderMark>)? {
        if unused.isEmpty {
            guard let page = Page() else { return nil }
            unused = (0..<Page.count).map { pages.count * Page.count + $0 }
            pages.append(page)
        }
        guard let number = unused.popLast() else { return nil }
        used.insert(number)
        let mark = unsafe mark(number)
        unsafe mark.pointee.epoch.store(epoch, ordering: .sequentiallyConsistent)
        return unsafe (number, mark)
    }

    mutating func remove(_ number: Int) {
        if used.remove(number) != nil { unused.append(number) }
    }

    /// The oldest epoch that a reader may still see.
    func oldestEpoch() -> UInt64 {
        used.reduce(.max) { oldest, number in
            min(oldest, unsafe mark(number).pointee.epoch.load(ordering: .sequentiallyConsistent))
        }
    }

    private func mark(_ number: Int) -> UnsafeMutablePointer<CacheReaderMark> {
        unsafe pages[number / Page.count].mark(number % Page.count)
    }
}
