// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

// Microbenchmarks, in a package of their own: what they need besides is nobody else's to fetch and build.

import PackageDescription

let package = Package(
    name: "peermr-benchmarks",
    dependencies: [
        .package(name: "peermr", path: ".."),
        // Without its default traits it needs no jemalloc; it then counts no allocations.
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    ],
    targets: [
        // The stand-in for libibverbs of the tests, by a symbolic link.
        .target(name: "CFakeVerbs"),
        .executableTarget(
            name: "HostSide",
            dependencies: [
                "CFakeVerbs", .product(name: "PeerMR", package: "peermr"),
                .product(name: "Benchmark", package: "benchmark"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Benchmarks/HostSide",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
    ],
    swiftLanguageModes: [.v6]
)
