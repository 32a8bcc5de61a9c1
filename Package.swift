// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

/// What every Swift target is built with: Swift 6, strict memory safety, and imports that say what they leak.
let strict: [SwiftSetting] = [
    .strictMemorySafety(),
    .treatWarning("StrictMemorySafety", as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// What tests are built with: the same, but for the markers of unsafe expressions.
let testing: [SwiftSetting] = Array(strict.dropFirst(2))

/// What every C target of the product is built with. glibc checks calls only where the compiler optimises.
///
/// The stack protector and the linker's part are flags, which no package may set for those that depend on it:
/// Packaging/hardening.json, a toolset.
let hardened: [CSetting] = [.define("_FORTIFY_SOURCE", to: "3", .when(configuration: .release))]

let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")

/// A program of one file, to learn from.
func example(_ program: String, _ file: String) -> Target {
    let files = [
        "FileToDrive", "MixedScatter", "NICToDrive", "PeerPingPong", "RegisterDMABuf", "RegisterP2PMem",
    ]
    return .executableTarget(
        name: program,
        dependencies: [
            "PeerMR", "PeerStorage", .product(name: "ArgumentParser", package: "swift-argument-parser"),
        ],
        path: "Examples/Single", exclude: files.filter { $0 != file }.map { "\($0).swift" }, swiftSettings: strict)
}

let package = Package(
    name: "peermr",
    products: [
        .library(name: "PeerMR", targets: ["PeerMR"]),
        .library(name: "PeerStorage", targets: ["PeerStorage"]),
        .library(name: "PeerTransfer", targets: ["PeerTransfer"]),
        .library(name: "Verbs", targets: ["Verbs"]),
        // The C library: an archive, which Packaging/link-library makes libpeermr.so of.
        .library(name: "peermr-c", type: .static, targets: ["PeerMRC"]),
        .executable(name: "nic-to-nvme", targets: ["NICToNVMe"]),
        .executable(name: "peermr", targets: ["PeerMRCommand"]),
        .executable(name: "ping-pong", targets: ["PingPong"]),
    ],
    dependencies: [
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    ],
    targets: [
        // The only places that name C headers.
        .systemLibrary(
            name: "CVerbs", pkgConfig: "libibverbs",
            providers: [.apt(["libibverbs-dev", "librdmacm-dev"])]),
        .target(name: "CUring", cSettings: hardened, linkerSettings: [.linkedLibrary("uring")]),
        .systemLibrary(name: "CBlkid", pkgConfig: "blkid", providers: [.apt(["libblkid-dev"])]),
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
        .target(name: "CLinux", cSettings: hardened),
        .target(name: "CChecksum", cSettings: hardened),

        .target(name: "PeerMRCore", dependencies: ["CLinux", system], swiftSettings: strict),
        .target(
            name: "PCITopology", dependencies: ["PeerMRCore", system], swiftSettings: strict),
        .target(
            name: "Verbs", dependencies: ["CVerbs", "CLinux", "PeerMRCore", system],
            swiftSettings: strict),
        .target(
            name: "PeerMemory",
            dependencies: ["Verbs", "PCITopology", "CLinux", "PeerMRCore", system],
            swiftSettings: strict),
        .target(
            name: "PeerMR",
            dependencies: ["PeerMemory", "PCITopology", "Verbs", "CLeases", "CLinux", "PeerMRCore", system],
            swiftSettings: strict),
        .target(
            name: "PeerStorage",
            dependencies: [
                "PeerMR", "PeerMemory", "PCITopology", "Verbs", "CUring", "CBlkid", "CLinux",
                "PeerMRCore", system,
            ],
            swiftSettings: strict),

        .target(
            name: "PeerTransfer",
            dependencies: ["CChecksum", "CCrypto", "PeerMR", "PeerStorage", "PeerMRCore", system],
            swiftSettings: strict),

        // The C library: peermr.h is written by hand, and the compiler holds the Swift bodies against it.
        .target(name: "CPeerMR", cSettings: hardened),
        .target(name: "CThreadTexts", cSettings: hardened),
        .target(name: "CLeases", cSettings: hardened),
        .target(
            name: "PeerMRC",
            dependencies: [
                "CLeases", "CPeerMR", "CThreadTexts", "CVerbs", "PeerMR", "PeerMemory", "PCITopology", "Verbs",
                "PeerMRCore", system,
            ],
            swiftSettings: strict),

        // What the programs share: JSON, tables, numbers, output files, how a command ends.
        .target(
            name: "CommandSupport",
            dependencies: [
                "CLinux", "PeerMRCore", system, .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            resources: [.embedInCode("latency.gp")], swiftSettings: strict),

        // What registration costs, measured: the tool's bench, and the calls of libibverbs alone to compare with.
        .target(name: "CBareVerbs", dependencies: ["CVerbs"], cSettings: hardened),
        .target(
            name: "RegistrationBench",
            dependencies: [
                "CommandSupport", "PeerMR", "PeerMemory", "PCITopology", "Verbs", "CBareVerbs", "PeerMRCore", system,
            ],
            swiftSettings: strict),

        // A machine in a tar archive. The tool alone reads and writes those, and links libarchive.
        .target(name: "MachineArchive", dependencies: ["CArchive", "PeerMRCore", system], swiftSettings: strict),

        .executableTarget(
            name: "PeerMRCommand",
            dependencies: [
                "CommandSupport", "MachineArchive", "PeerMR", "PCITopology", "RegistrationBench", "CLinux",
                "PeerMRCore", system,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/peermr", swiftSettings: strict),
        .executableTarget(
            name: "NICToNVMe",
            dependencies: [
                "CommandSupport", "PeerMR", "PeerStorage", "PeerTransfer", "CCrypto", "CLinux", "PeerMRCore", system,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Examples/NICToNVMe", exclude: ["README.md"], swiftSettings: strict),
        .executableTarget(
            name: "PingPong",
            dependencies: [
                "CommandSupport", "PeerMR", "PeerStorage", "PeerTransfer", "PeerMRCore", system,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Examples/PingPong", exclude: ["README.md"], swiftSettings: strict),
        // What prints the documentation's page of all errors.
        .executableTarget(
            name: "error-page",
            dependencies: [
                "CommandSupport", "PeerMR", "PeerMRC", "PeerMRCore", "PeerMemory", "PeerStorage", "PeerTransfer",
                "RegistrationBench", "Verbs", "CLinux",
            ],
            path: "Documentation/ErrorPage", swiftSettings: strict),
        example("file-to-drive", "FileToDrive"), example("mixed-scatter", "MixedScatter"),
        example("nic-to-drive", "NICToDrive"), example("peer-pingpong", "PeerPingPong"),
        example("register-dmabuf", "RegisterDMABuf"), example("register-p2pmem", "RegisterP2PMem"),
        // A program for the tests in the lab: it says what nic-to-nvme must not believe.
        .executableTarget(
            name: "hostile-client", dependencies: ["PeerMR"], path: "Tests/HostileClient",
            swiftSettings: strict),
        // Many clients of nic-to-nvme's server in one process.
        .executableTarget(
            name: "many-clients", dependencies: ["PeerMR", "PeerMRCore", "PeerTransfer"], path: "Tests/ManyClients",
            swiftSettings: strict),
        // Another: it opens memory of every kind, registers it, and uses regions whose memory is revoked.
        .executableTarget(
            name: "memory-probe", dependencies: ["PeerMR", "PeerStorage"], path: "Tests/MemoryProbe",
            swiftSettings: strict),
        // What looking for routes costs, and how that grows.
        .executableTarget(
            name: "route-benchmark",
            dependencies: ["CommandSupport", "MachineArchive", "PCITopology", "PeerMRCore", "TestSupport", system],
            path: "Benchmarks/Programs/RouteBenchmark", swiftSettings: testing),

        // What destroys what, and when: run by the tests, and as a program that is built with optimization.
        .executableTarget(
            name: "destruction-order", dependencies: ["CFakeVerbs", "PeerMR"], path: "Tests/DestructionOrder",
            swiftSettings: testing),

        // What PeerMR's registration costs beside the bare call, without a kernel in it.
        .executableTarget(
            name: "registration-cost",
            dependencies: [
                "CFakeVerbs", "CommandSupport", "CPeerMR", "CVerbs", "PeerMR", "PeerMRC", "RegistrationBench",
            ],
            path: "Benchmarks/Programs/RegistrationCost", swiftSettings: testing),

        // What a slot costs the server of a drive, without a kernel, a network or a drive in it.
        .executableTarget(
            name: "slot-cost",
            dependencies: ["CFakeVerbs", "CommandSupport", "PeerMR", "PeerStorage", "PeerTransfer", system],
            path: "Benchmarks/Programs/SlotCost", swiftSettings: testing),

        // Threads in one registration cache: run by the tests, and with ThreadSanitizer.
        .executableTarget(
            name: "cache-stress",
            dependencies: ["CFakeVerbs", "PeerMR", "PeerMRCore", "SanitizerSupport", "TestSupport"],
            path: "Tests/CacheStress", swiftSettings: testing),
        .target(name: "SanitizerSupport", path: "Tests/SanitizerSupport"),

        // The C library as C programs see it: its functions, used and misused. The program is for sanitizers.
        .target(name: "CABI", dependencies: ["CPeerMR", "CFakeVerbs"], path: "Tests/CABI"),
        .executableTarget(
            name: "c-abi", dependencies: ["CABI", "CFakeVerbs", "PeerMRC", "SanitizerSupport"],
            path: "Tests/CABIProgram"),

        // Tests of the first two rings, without a device. CFakeVerbs stands in for libibverbs and librdmacm.
        .target(name: "CFakeVerbs", path: "Tests/CFakeVerbs"),
        .target(
            name: "TestSupport", dependencies: ["PCITopology", "PeerMRCore", system], path: "Tests/TestSupport",
            swiftSettings: testing),
        .testTarget(
            name: "PeerMRCoreTests", dependencies: ["PeerMRCore", "TestSupport", system],
            swiftSettings: testing),
        .testTarget(
            name: "CommandSupportTests", dependencies: ["CommandSupport", "PeerMRCore", "TestSupport", system],
            swiftSettings: testing),
        .testTarget(
            name: "PCITopologyTests",
            dependencies: ["PCITopology", "PeerMRCore", "TestSupport", system],
            swiftSettings: testing),
        .testTarget(
            name: "MachineArchiveTests",
            dependencies: ["MachineArchive", "CArchive", "PCITopology", "PeerMRCore", "TestSupport", system],
            swiftSettings: testing),
        .testTarget(
            name: "PeerMRCommandTests",
            dependencies: [
                "CommandSupport", "MachineArchive", "PeerMRCommand", "PCITopology", "RegistrationBench", "PeerMRCore",
                "TestSupport", system,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: testing),
        .testTarget(
            name: "RegistrationBenchTests",
            dependencies: ["CommandSupport", "RegistrationBench", "PeerMemory", "PeerMRCore", "TestSupport"],
            swiftSettings: testing),
        .testTarget(
            name: "VerbsTests", dependencies: ["Verbs", "CVerbs", "TestSupport", system],
            swiftSettings: testing),
        .testTarget(
            name: "PeerMemoryTests", dependencies: ["PeerMemory", "CLinux", "TestSupport", system],
            swiftSettings: testing),
        .testTarget(
            name: "PeerStorageTests",
            dependencies: ["CLinux", "PeerStorage", "PeerMRCore", "TestSupport", "Verbs", system],
            swiftSettings: testing),
        .testTarget(
            name: "PeerMRTests", dependencies: ["PeerMR", "TestSupport"], swiftSettings: testing),
        .testTarget(
            name: "PeerTransferTests", dependencies: ["PeerTransfer", "PeerMR", "TestSupport"],
            swiftSettings: testing),
        .testTarget(
            name: "NICToNVMeTests",
            dependencies: [
                "CommandSupport", "NICToNVMe", "PeerMR", "PeerMRCore", "PeerStorage", "PeerTransfer", "TestSupport",
                system, .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: testing),
        .testTarget(
            name: "PingPongTests",
            dependencies: [
                "PingPong", "PeerMR", "PeerMRCore", "PeerStorage", "PeerTransfer", "TestSupport", "Verbs", system,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: testing),
        .testTarget(
            name: "PeerMRCTests",
            dependencies: ["CABI", "CFakeVerbs", "CPeerMR", "CVerbs", "PeerMRC", "PeerMR", "TestSupport"],
            swiftSettings: testing),
        .testTarget(
            name: "FakeVerbsTests",
            dependencies: [
                "cache-stress", "CChecksum", "CFakeVerbs", "CLinux", "CommandSupport", "CVerbs", "destruction-order",
                "NICToNVMe", "PeerMR", "PeerMRCore", "PeerStorage", "PeerTransfer", "RegistrationBench", "TestSupport",
                system, .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: testing),
        // The preload library, built by its Makefile, between fakes in C: Tests/PreloadFakes.
        .testTarget(name: "PreloadTests", dependencies: ["TestSupport", system], swiftSettings: testing),
        .testTarget(
            name: "MustNotCompileTests", dependencies: ["PeerMR", "TestSupport", system],
            swiftSettings: testing),
        .testTarget(name: "TidyTests", dependencies: ["error-page", "PeerMRCore"], swiftSettings: testing),
    ],
    swiftLanguageModes: [.v6]
)

// The microbenchmarks see the package's own declarations, so they are targets of this package; what they depend on is
// fetched only by those who ask for them.
if Context.environment["PEERMR_BENCHMARKS"] != nil {
    // Without its default traits it needs no jemalloc; it then counts no allocations.
    package.dependencies.append(.package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []))
    package.targets.append(
        .executableTarget(
            name: "HostSide",
            dependencies: [
                "CFakeVerbs", "PCITopology", "PeerMemory", "PeerMR", "PeerMRCore", "PeerTransfer", "Verbs", system,
                .product(name: "Benchmark", package: "benchmark"),
            ],
            path: "Benchmarks/HostSide", swiftSettings: testing,
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]))
}

// A comparison with other libraries' caches, whose packages Benchmarks/cache-compare installs.
if Context.environment["PEERMR_CACHE_RIVALS"] != nil {
    package.targets += [
        .target(
            name: "CacheRivals", path: "Benchmarks/CacheCompare/Rivals",
            linkerSettings: [.linkedLibrary("ucs"), .linkedLibrary("ucm"), .linkedLibrary("rivals-fabric")]),
        .executableTarget(
            name: "cache-compare",
            dependencies: ["CacheRivals", "CFakeVerbs", "CommandSupport", "PeerMR", "PeerMRCore"],
            path: "Benchmarks/CacheCompare/Program", swiftSettings: testing),
    ]
}
