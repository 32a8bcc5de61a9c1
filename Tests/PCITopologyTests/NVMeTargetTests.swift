// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore
import Testing
import TestSupport

/// What the kernel's NVMe over Fabrics target is said to do with p2pmem, on machines that are made up.
@Suite struct NVMeTargetTests {
    static let nic = "pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0/0000:03:00.0"
    static let v4 = "0000:0000:0000:0000:0000:ffff:c0a8:0105"

    /// Below one switch a NIC and three drives, two of them with p2pmem; at root ports of their own a drive with p2pmem
    /// and a second NIC. The processor joins no root ports.
    static func machine(
        published: [String: String] = [:], available: String? = nil, isReadable: Bool = true
    ) -> TestMachine {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x29c0, classCode: 0x060000, driver: nil)
        machine.bridge("0000:00:01.0", port: 4, acs: 0, isReadable: isReadable)
        machine.bridge("0000:01:00.0", below: ["0000:00:01.0"], port: 5, isReadable: isReadable)
        let way = ["0000:00:01.0", "0000:01:00.0"]
        for index in 0..<4 {
            machine.bridge("0000:02:0\(index).0", below: way, port: 6, acs: 0, isReadable: isReadable)
        }
        machine.function("0000:03:00.0", below: way + ["0000:02:00.0"], classCode: 0x020000, driver: "mlx5_core")
        let switched = "pci0000:00/0000:00:01.0/0000:01:00.0"
        for (index, hasPool) in [(1, true), (2, true), (3, false)] {
            let address = "0000:0\(index + 3):00.0"
            machine.function(address, below: way + ["0000:02:0\(index).0"])
            let place = "\(switched)/0000:02:0\(index).0/\(address)"
            if hasPool { pool(&machine, place, published[address] ?? "1", available) }
            machine.named("nvme\(index)n1", kind: "block", on: place)
        }
        machine.bridge("0000:00:02.0", port: 4, acs: 0x1d, isReadable: isReadable)
        machine.function("0000:08:00.0", below: ["0000:00:02.0"])
        pool(&machine, "pci0000:00/0000:00:02.0/0000:08:00.0", "1", available)
        machine.named("nvme8n1", kind: "block", on: "pci0000:00/0000:00:02.0/0000:08:00.0")
        machine.bridge("0000:00:03.0", port: 4, acs: 0x1d, isReadable: isReadable)
        machine.function("0000:09:00.0", below: ["0000:00:03.0"], classCode: 0x020000, driver: "mlx5_core")
        machine.named("mlx5_0", kind: "infiniband", on: Self.nic)
        machine.named("mlx5_1", kind: "infiniband", on: "pci0000:00/0000:00:03.0/0000:09:00.0")
        machine.named("rxe0", kind: "infiniband", on: nil)
        machine.gid("mlx5_0", on: Self.nic, 0, "fe80:0000:0000:0000:0000:0000:0000:0001")
        machine.gid("mlx5_0", on: Self.nic, 3, Self.v4)
        machine.gid("mlx5_1", on: "pci0000:00/0000:00:03.0/0000:09:00.0", 1, "0000:0000:0000:0000:0000:ffff:c0a8:0106")
        machine.gid("rxe0", on: nil, 1, "0000:0000:0000:0000:0000:ffff:c0a8:0107")
        machine.gid("rxe0", on: nil, 2, "0000:0000:0000:0000:0000:0000:0000:0000")
        return machine
    }

    private static func pool(_ machine: inout TestMachine, _ place: String, _ published: String, _ available: String?) {
        machine.file("sys/devices/\(place)/p2pmem/size", "16777216")
        machine.file("sys/devices/\(place)/p2pmem/available", available ?? "16777216")
        // Empty: not shown.
        if !published.isEmpty { machine.file("sys/devices/\(place)/p2pmem/published", published) }
    }

    /// One subsystem with one namespace, on one port.
    private static func answers(
        _ path: String = "/dev/nvme1n1", _ p2pmem: String? = "1", on address: String = "192.168.1.5",
        enabled: String? = "1", transport: String = "rdma", by device: String? = nil, machine: TestMachine = machine()
    ) -> [NVMeTarget.Answer] {
        var machine = machine
        machine.targetSubsystem("nqn.one")
        machine.targetNamespace("nqn.one", 1, path, p2pmem: p2pmem, enabled: enabled)
        machine.targetPort(1, address, transport: transport, offers: ["nqn.one"])
        return answers(of: machine.root, by: device)
    }

    private static func answers(of root: SystemRoot, by device: String? = nil) -> [NVMeTarget.Answer] {
        guard case .present(let target) = NVMeTarget.state(root: root) else { return [] }
        return target.answers(Topology(root: root), root: root, by: device)
    }

    private static func providers(_ answers: [NVMeTarget.Answer]) -> [String] {
        answers.flatMap(\.providers).map { "\($0)" }
    }

    @Test("The drive's own memory is the nearest", arguments: ["1", "0000:04:00.0"])
    func nearest(_ p2pmem: String) throws {
        let answer = try #require(Self.answers("/dev/nvme1n1", p2pmem).first)
        #expect(answer.usesPeerMemory == true)
        #expect(answer.code == .used)
        #expect(answer.device == "mlx5_0")
        #expect(Self.providers([answer]) == ["0000:04:00.0"])
        #expect(!answer.isSilentBounce)
    }

    @Test("Of memory that is equally near any may be taken")
    func equallyNear() throws {
        let answer = try #require(Self.answers("/dev/nvme3n1").first)
        #expect(answer.usesPeerMemory == true)
        #expect(Self.providers([answer]) == ["0000:04:00.0", "0000:05:00.0"])
        #expect(answer.reason.contains("at random"))
    }

    @Test("The memory that is named is taken, however far")
    func named() {
        #expect(Self.providers(Self.answers("/dev/nvme1n1", "0000:05:00.0")) == ["0000:05:00.0"])
    }

    @Test(
        "Why it goes through host memory",
        arguments: [
            ("/dev/nvme1n1", "1", "192.168.1.7", "1", "softwareDevice", true),
            ("/dev/nvme1n1", "1", "192.168.1.6", "1", "noRoute", true),
            ("/dev/nvme8n1", "1", "192.168.1.5", "1", "noRoute", true),
            ("/dev/nvme1n1", "0000:08:00.0", "192.168.1.5", "1", "noRoute", true),
            ("/dev/nvme1n1", "0000:09:00.0", "192.168.1.5", "1", "notPublished", true),
            ("/dev/nvme1n1", "0", "192.168.1.5", "1", "switchedOff", false),
            ("/dev/nvme1n1", nil, "192.168.1.5", "1", "noSwitch", false),
            ("/dev/nvme1n1", "1", "192.168.1.5", "0", "disabled", false),
            ("/dev/nvme1n1", "1", "192.168.1.99", "1", "unreadable", false),
            ("/dev/nvme1n1", "1", "192.168.1.5", nil, "unreadable", false),
            ("/dev/nvme1n1", "maybe", "192.168.1.5", "1", "unreadable", false),
            ("/dev/nvme7n1", "1", "192.168.1.5", "1", "unreadable", false),
            ("/srv/disk.img", "1", "192.168.1.5", "1", "drive", true),
            ("(null)", "1", "192.168.1.5", "1", "unreadable", false),
        ] as [(String, String?, String, String?, String, Bool)])
    func refused(
        _ path: String, _ p2pmem: String?, _ address: String, _ enabled: String?, _ code: String, _ isSilent: Bool
    ) throws {
        let answer = try #require(Self.answers(path, p2pmem, on: address, enabled: enabled).first)
        #expect(answer.code.rawValue == code)
        #expect(answer.usesPeerMemory == (code == "unreadable" ? nil : false))
        #expect(answer.isSilentBounce == isSilent)
        #expect(answer.providers.isEmpty)
        #expect(!answer.reason.isEmpty)
    }

    @Test("A stacked or multipath disk cannot be enabled with the switch on")
    func stacked() throws {
        var machine = Self.machine()
        machine.stack("dm-0", of: ["nvme1n1"], md: nil)
        machine.stack("md0", of: ["nvme1n1", "nvme2n1"], md: "raid0")
        for name in ["dm-0", "md0"] {
            let answer = try #require(Self.answers("/dev/\(name)", machine: machine).first)
            #expect(answer.code == .drive)
            #expect(answer.reason.contains("EINVAL"))
        }
    }

    @Test("A port on every address may be served by every device")
    func anyAddress() {
        for address in ["0.0.0.0", "::"] {
            let answers = Self.answers(on: address)
            #expect(answers.map(\.device) == ["mlx5_0", "mlx5_1", "rxe0"])
            #expect(answers.map(\.usesPeerMemory) == [true, false, false])
        }
    }

    @Test("Link-local addresses have a zone, which is no part of the GID")
    func zone() {
        #expect(Self.answers(on: "fe80::1%eth0").first?.device == "mlx5_0")
    }

    @Test("Another device is asked about instead of the port's own")
    func chosen() {
        let answers = Self.answers(on: "192.168.1.7", by: "mlx5_0")
        #expect(answers.map(\.usesPeerMemory) == [true])
        #expect(Self.answers(on: "192.168.1.7", by: "mlx5_9").first?.code == .noDevice)
    }

    @Test("Other transports take none", arguments: ["tcp", "loop", "fc", ""])
    func transport(_ name: String) throws {
        let answer = try #require(Self.answers(transport: name).first)
        #expect(answer.code == .transport)
        #expect(!answer.isSilentBounce)
    }

    @Test("A pool that is not published is passed over, and one of which that is not shown is no certain yes")
    func published() {
        let own = Self.answers(machine: Self.machine(published: ["0000:04:00.0": "0"]))
        #expect(Self.providers(own) == ["0000:05:00.0"])
        let hidden = Self.answers(machine: Self.machine(published: ["0000:04:00.0": ""]))
        #expect(Self.providers(hidden) == ["0000:05:00.0", "0000:04:00.0"])
        let all = Self.answers(
            machine: Self.machine(published: ["0000:04:00.0": "", "0000:05:00.0": ""]))
        #expect(all.first?.usesPeerMemory == .some(nil))
    }

    @Test("A pool that is all taken gives nothing")
    func exhausted() throws {
        let answer = try #require(Self.answers(machine: Self.machine(available: "0")).first)
        #expect(answer.code == .exhausted)
        #expect(answer.isSilentBounce)
    }

    @Test("What cannot be read makes no yes")
    func unprivileged() throws {
        let answer = try #require(Self.answers("/dev/nvme3n1", machine: Self.machine(isReadable: false)).first)
        #expect(answer.usesPeerMemory == nil)
        #expect(answer.code == .unreadable)
    }

    @Test("A controller that is handed through, a subsystem on no port, a port without one, no namespace")
    func odd() {
        var machine = Self.machine()
        machine.targetSubsystem("nqn.through", passthrough: true)
        machine.targetNamespace("nqn.through", 1, "/dev/nvme1n1")
        machine.targetSubsystem("nqn.alone", passthrough: false)
        machine.targetNamespace("nqn.alone", 1, "/dev/nvme1n1")
        machine.targetSubsystem("nqn.empty")
        machine.targetPort(1, "192.168.1.5", offers: ["nqn.through", "nqn.gone"])
        machine.targetPort(2, nil, offers: [])
        let answers = Self.answers(of: machine.root)
        #expect(answers.map(\.code) == [.noPort, .passthrough])
        #expect(answers.map(\.isSilentBounce) == [false, false])
    }

    @Test("Without a target there is none")
    func missing() {
        #expect(NVMeTarget.state(root: TestMachine().root) == .noConfiguration)
        var machine = TestMachine()
        machine.folder("sys/kernel/config/iio")
        #expect(NVMeTarget.state(root: machine.root) == .notLoaded)
        #expect(NVMeTarget.state(root: SystemRoot(Snapshot.capture(machine.root))) == .notLoaded)
        machine.folder("sys/kernel/config/nvmet")
        #expect(NVMeTarget.state(root: machine.root) == .unreadable)
    }

    @Test("A capture answers the same, and has no name, address or path in it")
    func captured() throws {
        var machine = Self.machine()
        machine.targetSubsystem("nqn.secret")
        let paths = ["/dev/nvme1n1", "/dev/nvme3n1", "/srv/secret.img", "/dev/disk/by-id/secret"]
        for (number, path) in paths.enumerated() {
            machine.targetNamespace("nqn.secret", number + 1, path)
        }
        machine.targetNamespace("nqn.secret", 10, "/dev/nvme1n1", p2pmem: "0000:05:00.0", enabled: nil)
        machine.targetNamespace("nqn.secret", 11, "/dev/nvme1n1", p2pmem: nil)
        machine.targetPort(1, "192.168.1.5", offers: ["nqn.secret"])
        machine.targetPort(2, "0.0.0.0", offers: ["nqn.secret"])
        machine.targetPort(10, "192.168.1.99", offers: ["nqn.secret"])
        let tree = Snapshot.capture(machine.root)
        let before = Self.answers(of: machine.root)
        let after = Self.answers(of: SystemRoot(tree))
        #expect(before.count == 6 * 5)
        #expect(after.map(\.code) == before.map(\.code))
        #expect(after.map(\.providers) == before.map(\.providers))
        #expect(after.map(\.device) == before.map(\.device))
        #expect(Self.answers(of: SystemRoot(Snapshot.capture(SystemRoot(tree)))) == after)
        var text = ""
        tree.forEach { path, content, _ in
            text += path
            if case .file(let bytes, _) = content { text += String(decoding: bytes, as: UTF8.self) }
        }
        for secret in ["secret", "192.168", "c0a8"] { #expect(!text.contains(secret)) }
    }

    @Test("A tree that was made up has as many parts as are looked at")
    func limit() throws {
        var machine = Self.machine()
        for number in 0..<NVMeTarget.limit + 1 { machine.targetSubsystem("nqn.\(number)") }
        machine.targetPort(1, "192.168.1.5", offers: [])
        guard case .present(let target) = NVMeTarget.state(root: machine.root) else {
            Issue.record("there is a target")
            return
        }
        #expect(target.isCut)
        #expect(target.subsystems.count == NVMeTarget.limit)
    }
}
