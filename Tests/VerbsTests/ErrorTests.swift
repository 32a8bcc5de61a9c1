// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import PeerMRCore
import Testing

@testable import Verbs

/// The table from (call, errno) to words, without making any call.
@Suite struct ErrorTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var error: PeerMRError
        var code: PeerMRError.Code
        var reason: String
        var remedy: String
        var testDescription: String { "\(error.call ?? "") \(error.errno?.rawValue ?? 0)" }

        init(_ error: PeerMRError, _ code: PeerMRError.Code, _ reason: String, _ remedy: String) {
            self.error = error
            self.code = code
            self.reason = reason
            self.remedy = remedy
        }
    }

    static let device = Device(name: "mlx5_0")
    // swift-format-ignore: NeverForceUnwrap
    static let address = SocketAddress("10.0.0.2", port: 18515)!

    static func register(_ errno: Errno, _ access: Access = [.localWrite]) -> PeerMRError {
        .register(errno, byteCount: 1 << 20, access: access, device: device, lock: lock)
    }

    /// 512 KiB are left.
    static let lock = MemoryLock(limit: 1 << 20, pinned: 512 << 10, isLifted: false)
    static let lifted = MemoryLock(limit: 1 << 20, pinned: 512 << 10, isLifted: true)

    static func register(_ errno: Errno, _ byteCount: Int, _ lock: MemoryLock) -> PeerMRError {
        .register(errno, byteCount: byteCount, access: [.localWrite], device: device, lock: lock)
    }

    /// The lock limit is named where it is the cause, and nowhere else.
    static let locking: [Row] = [
        Row(register(.noMemory, (512 << 10) + 1, lock), .resourceLimit, "1 MiB, of which 512 KiB are", "ulimit -l"),
        Row(register(.noMemory, 512 << 10, lock), .resourceLimit, "IOMMU", "memory.events"),
        Row(register(.noMemory, 1 << 30, lifted), .resourceLimit, "lifted by CAP_IPC_LOCK", "ibv_devinfo"),
        Row(
            register(.noMemory, 1 << 30, MemoryLock(limit: nil, pinned: 0, isLifted: false)), .resourceLimit,
            "unlimited", "dmesg"),
        Row(
            register(.notPermitted, 1, MemoryLock(limit: 0, pinned: 0, isLifted: false)), .resourceLimit,
            "RLIMIT_MEMLOCK is 0", "CAP_IPC_LOCK"),
        Row(register(.notPermitted, 1, lifted), .notPermitted, "not the cause", "seccomp"),
        Row(
            .createQueue("ibv_create_cq", .noMemory, "a completion queue of 9 entries", device, lock: lock),
            .resourceLimit, "RLIMIT_MEMLOCK is 1 MiB", "ulimit -l"),
        Row(
            .createQueue("ibv_create_qp", .noMemory, "a queue pair", device, lock: lifted), .resourceLimit,
            "cannot create a queue pair", "memory cgroup"),
        Row(
            .createQueue("ibv_create_qp", .invalidArgument, "a queue pair", device, lock: lock), .resourceLimit,
            "cannot create a queue pair", "ask for less"),
    ]

    static let registration: [Row] = [
        Row(register(.noMemory), .resourceLimit, "RLIMIT_MEMLOCK is", "ulimit -l"),
        Row(register(.notPermitted), .resourceLimit, "locked memory", "CAP_IPC_LOCK"),
        Row(register(.badAddress), .notSupported, "cannot pin", "on demand"),
        Row(register(Errno(rawValue: 121)), .notSupported, "peer memory", "on demand"),
        Row(register(.badAddress, [.onDemand]), .notSupported, "refuses", "one PCIe switch"),
        Row(register(.notSupportedOnSocket), .notSupported, "driver does not support", ""),
        Row(register(Errno(rawValue: 524)), .notSupported, "driver does not support", ""),
        Row(register(.notSupportedOnSocket, [.onDemand]), .notSupported, "no on-demand paging", "Soft-RoCE"),
        Row(register(.invalidArgument, [.remoteWrite]), .invalidArgument, "0x2", "needs local write"),
        Row(register(.ioError), .system, "1 MiB cannot be registered on mlx5_0", ""),
        Row(register(.noMemory, [.onDemand]), .resourceLimit, "no room", "smaller parts"),
    ]

    static let devices: [Row] = [
        Row(.listDevices(.noFunction), .notSupported, "no RDMA", "modprobe ib_uverbs"),
        Row(.listDevices(.notPermitted), .system, "cannot be listed", "/dev/infiniband"),
        Row(.listDevices(.noMemory), .system, "cannot be listed", "/dev/infiniband"),
        Row(.openDevice(.permissionDenied, "mlx5_0"), .notPermitted, "mlx5_0", "rights"),
        Row(.openDevice(.notPermitted, "mlx5_0"), .notPermitted, "mlx5_0", "rights"),
        Row(.openDevice(.ioError, "mlx5_0"), .system, "mlx5_0 cannot be opened", ""),
        Row(.query("ibv_query_port", .invalidArgument, device), .system, "mlx5_0", "dmesg"),
        Row(
            .create("ibv_create_cq", .invalidArgument, "a completion queue of 9 entries", device),
            .resourceLimit, "mlx5_0 cannot create a completion queue of 9 entries", "ibv_devinfo -v -d mlx5_0"),
        Row(
            .create("ibv_alloc_pd", .noMemory, "a protection domain", device), .resourceLimit,
            "mlx5_0 cannot create a protection domain", "ask for less"),
        Row(
            .create("ibv_alloc_pd", .ioError, "a protection domain", device), .system,
            "mlx5_0 cannot create a protection domain", ""),
        Row(.queuePair("ibv_modify_qp", .invalidArgument, "made ready"), .system, "cannot be made ready", "dmesg"),
        Row(.noSuchDevice("rxe7"), .notFound, "no RDMA device rxe7: there is none", "rdma link add"),
    ]

    static let connections: [Row] = [
        Row(.connectionManager(.operationNotSupportedByDevice), .notFound, "no RDMA connection manager", "rdma_ucm"),
        Row(.connectionManager(.noSuchFileOrDirectory), .notFound, "no RDMA connection manager", "rdma_ucm"),
        Row(.connectionManager(.permissionDenied), .notPermitted, "may not use", "/dev/infiniband/rdma_cm"),
        Row(.connectionManager(.notPermitted), .notPermitted, "may not use", "/dev/infiniband/rdma_cm"),
        Row(.connectionManager(.ioError), .system, "does not answer", ""),
        Row(.bind(.addressInUse, address), .busy, "port 18515 of 10.0.0.2 is in use", "choose another"),
        Row(.bind(.permissionDenied, address), .notPermitted, "port 18515", "above 1023"),
        Row(.bind(.noSuchAddressOrDevice, address), .notFound, "10.0.0.2 is no address", "rdma link add"),
        Row(.bind(.addressNotAvailable, address), .notFound, "no RDMA device", "rdma link add"),
        Row(.route(.operationNotSupportedByDevice, address), .notFound, "no RDMA device", "rdma link add"),
        Row(.route(.noSuchAddressOrDevice, address), .notFound, "no RDMA device", "rdma link add"),
        Row(.route(.invalidArgument, address), .notFound, "no RDMA device", "rdma link add"),
        Row(.route(.addressNotAvailable, address), .notFound, "no RDMA device", "rdma link add"),
        Row(.route(.timedOut, address), .disconnected, "10.0.0.2 cannot be reached", "ping"),
        Row(.connection("rdma_accept", .invalidArgument, "be accepted"), .system, "cannot be accepted", "dmesg"),
    ]

    @Test(arguments: registration + locking + devices + connections)
    func eachRowHasItsCodeReasonAndRemedy(_ row: Row) {
        #expect(row.error.code == row.code)
        #expect(row.error.reason.contains(row.reason), "\(row.error.reason)")
        #expect(row.error.remedy?.contains(row.remedy) ?? row.remedy.isEmpty, "\(row.error)")
        #expect((row.error.remedy == nil) == row.remedy.isEmpty, "\(row.error)")
    }

    /// Whatever the number, the words are whole and the number is in them.
    @Test func everyErrnoGivesAWholeSentence() {
        let makers: [(String, (Errno) -> PeerMRError)] = [
            ("ibv_get_device_list", { .listDevices($0) }),
            ("ibv_open_device", { .openDevice($0, "rxe0") }),
            ("ibv_query_gid", { .query("ibv_query_gid", $0, Self.device) }),
            ("ibv_create_qp", { .create("ibv_create_qp", $0, "a queue pair", Self.device) }),
            ("ibv_reg_mr", { Self.register($0) }), ("ibv_reg_mr", { Self.register($0, [.onDemand]) }),
            ("ibv_modify_qp", { .queuePair("ibv_modify_qp", $0, "made ready") }),
            ("rdma_create_event_channel", { .connectionManager($0) }),
            ("rdma_", { .bind($0, Self.address) }), ("rdma_resolve_addr", { .route($0, Self.address) }),
            ("rdma_connect", { .connection("rdma_connect", $0, "be made") }),
        ]
        for (call, make) in makers {
            for number in Array(Int32(1)...133) + [512, 517, 524, 529] {
                let error = make(Errno(rawValue: number))
                #expect(error.call?.hasPrefix(call) == true)
                #expect(error.errno?.rawValue == number)
                #expect(!error.reason.isEmpty && !error.reason.hasSuffix("."), "\(error)")
                #expect(error.remedy?.hasSuffix(".") != true, "\(error)")
                #expect(error.description.contains("errno \(number)"), "\(error)")
                #expect(!error.description.contains("Optional("), "\(error)")
            }
        }
    }
}
