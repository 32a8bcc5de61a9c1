// SPDX-License-Identifier: Apache-2.0

/// The private data of a connection request.
struct Preface {
    var version: UInt16 = 2

    var bytes: [UInt8] {
        LittleEndian.magic + LittleEndian.of(UInt64(version), 4) + [UInt8](repeating: 7, count: 32)
            + [UInt8](repeating: 0, count: 16)
    }

    /// The modes that are over with the request; nil for the others.
    static func hostile(_ mode: String, _ random: Random) -> [[UInt8]]? {
        switch mode {
        case "version": [Preface(version: 1).bytes, Preface(version: 0).bytes]
        case "short": [[], Array(Preface().bytes[..<3]), Array(Preface().bytes[..<6])]
        case "noise": (0..<10).map { _ in random.bytes(56) }
        case "noise-behind-version": (0..<10).map { _ in Array(Preface().bytes[..<6]) + random.bytes(50) }
        default: nil
        }
    }
}

enum LittleEndian {
    static let magic = of(0x524d_5031, 4)

    static func of(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
}

/// The first message of a client, field by field, so that each can be wrong.
struct Hello {
    var magic: UInt32 = 0x524d_5031
    var version: UInt16 = 2
    var operation: UInt8 = 1
    var offset: UInt64 = 0
    var byteCount: UInt64 = 8 * 65536
    var address: UInt64 = 0
    var key: UInt32 = 0
    var slotBytes: UInt32 = 65536
    var slotCount: UInt16 = 4

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        func put(_ value: UInt64, _ count: Int) {
            for index in 0..<count {
                bytes.append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))))
            }
        }
        put(UInt64(magic), 4)
        put(UInt64(version), 2)
        put(UInt64(operation), 2)
        put(offset, 8)
        put(byteCount, 8)
        put(address, 8)
        put(UInt64(key), 4)
        put(UInt64(slotBytes), 4)
        put(UInt64(slotCount), 2)
        // What is reserved, and the proof of a key.
        return bytes + [UInt8](repeating: 0, count: 128 - bytes.count)
    }

    /// The modes that are over with the hello; nil for the others.
    static func hostile(_ mode: String, _ random: Random) -> [[UInt8]]? {
        switch mode {
        case "noise-hello": (0..<10).map { _ in random.bytes(128) }
        case "noise-behind-hello": (0..<10).map { _ in Array(Hello().bytes[..<6]) + random.bytes(122) }
        case "short-hello": [[], Array(Hello().bytes[..<6]), Array(Hello().bytes[..<127])]
        case "proof": [Array(Hello().bytes[..<96]) + random.bytes(32)]
        case "hello-version": [with { $0.version = 1 }, with { $0.version = 3 }]
        case "operation": [with { $0.operation = 0 }, with { $0.operation = 3 }]
        case "slots":
            [
                with { $0.slotCount = 0 }, with { $0.slotCount = 4097 }, with { $0.slotBytes = 0 },
                with { $0.slotBytes = 5000 }, with { $0.slotBytes = 512 },
            ]
        case "range":
            [
                with { $0.offset = 1 << 40 }, with { $0.byteCount = .max },
                with { $0.offset = .max - 511 },
                with {
                    $0.offset = .max - 4095
                    $0.byteCount = 8192
                },
            ]
        case "off-block": [with { $0.offset = 1 }, with { $0.offset = 511 }]
        case "nothing": [with { $0.byteCount = 0 }]
        default: nil
        }
    }

    private static func with(_ change: (inout Hello) -> Void) -> [UInt8] {
        var hello = Hello()
        change(&hello)
        return hello.bytes
    }
}
