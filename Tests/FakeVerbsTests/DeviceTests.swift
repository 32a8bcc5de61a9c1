// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

@Suite struct DeviceTests {
    @Test func devicesComeInTheLibrarysOrder() throws {
        try withFakeVerbs { fake in
            fake_verbs_add_device("mlx5_1")
            fake_verbs_add_device("mlx5_0")
            let names = try Device.all().map(\.name)
            #expect(names == ["fake0", "mlx5_1", "mlx5_0"])
            #expect(fake.live(FAKE_DEVICE_LIST) == 0)
        }
    }

    @Test func theOneThatIsNamedIsOpened() throws {
        try withFakeVerbs { _ in
            fake_verbs_add_device("mlx5_0")
            for name in ["mlx5_0", "fake0"] {
                let context = try Device(name: name).open()
                #expect(context.device.name == name)
            }
        }
    }

    @Test func oneThatIsNotThereIsToldApartFromThoseThatAre() throws {
        try withFakeVerbs { _ in
            fake_verbs_add_device("mlx5_0")
            let error = #expect(throws: PeerMRError.self) { _ = try Device(name: "mlx5").open() }
            #expect(error?.code == .notFound)
            #expect(error?.reason == "there is no RDMA device mlx5: there are fake0, mlx5_0")
            fake_verbs_remove_devices()
            let none = #expect(throws: PeerMRError.self) { _ = try Device(name: "mlx5").open() }
            #expect(none?.reason.hasSuffix("there is none") == true)
            #expect(none?.remedy?.contains("rdma link add") == true)
            let devices = try Device.all()
            #expect(devices.isEmpty)
        }
    }

    @Test func attributesAreThoseOfTheDevice() throws {
        try withFakeVerbs { _ in
            let attributes = try Device(name: "fake0").open().attributes()
            #expect(attributes.firmwareVersion == "1.2.3")
            #expect(attributes.vendor == 0xabcdef)
            #expect(attributes.maximumRegionBytes == 1 << 40)
            #expect(attributes.maximumRegions == 1000)
            #expect(attributes.maximumWorkRequests == 2000)
            #expect(attributes.maximumCompletions == 32767)
            #expect(attributes.portCount == 1)
            #expect(!attributes.onDemand.isSupported)
            #expect(attributes.onDemand.reliableConnection.isEmpty)
        }
    }

    @Test(arguments: [(0, 0, false), (1, 0x0f, true), (3, 0xff, true), (2, 0x0f, false)] as [(UInt64, UInt32, Bool)])
    func onDemandPagingIsAsTheDeviceSays(_ general: UInt64, _ reliable: UInt32, _ isSupported: Bool) throws {
        try withFakeVerbs { _ in
            fake_verbs_set_on_demand(general, reliable)
            let paging = try Device(name: "fake0").open().attributes().onDemand
            #expect(paging.isSupported == isSupported)
            #expect(paging.reliableConnection.rawValue == reliable)
        }
    }

    @Test func portsAndAddresses() throws {
        try withFakeVerbs { _ in
            let context = try Device(name: "fake0").open()
            let port = try context.port(1)
            #expect(port.isActive)
            #expect(port.mtuBytes == 4096)
            #expect(port.gidCount == 8)
            #expect(port.localIdentifier == 77)
            let gid = try context.gid(port: 1, index: 2)
            #expect(gid.bytes == (32..<48).map { UInt8($0) })
            let error = #expect(throws: PeerMRError.self) { try context.port(2) }
            #expect(error?.errno == .invalidArgument)
            withExtendedLifetime(context) {}
        }
    }
}
