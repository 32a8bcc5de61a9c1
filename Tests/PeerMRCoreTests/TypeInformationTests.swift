// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import PeerMRCore

/// The kernel's type information, made up and real, whole and damaged.
@Suite struct TypeInformationTests {
    /// A function, a table of 26 rows of 12 bytes, and what stands around it.
    private func kernel(_ prepare: (inout TestTypeInformation) -> Void = { _ in }) -> TestTypeInformation {
        var types = TestTypeInformation()
        prepare(&types)
        let int = types.name("int")
        types.type(1, name: int, size: 4, [0x0100_0020])
        types.function("some_function")
        let row = types.structure("table_row", size: 12, ["vendor", "device", "flags"])
        types.structure("other_row", size: 16, ["vendor"])
        types.type(6, members: 2, size: 4, [1, 0, 1, 1])
        types.table(of: row, count: 26)
        types.type(3, [1, 1, 7])
        return types
    }

    @Test func tellsFunctionsStructuresAndArrays() throws {
        for isBigEndian in [false, true] {
            let file = kernel { $0.isBigEndian = isBigEndian }.file
            let types = try #require(TypeInformation(file))
            #expect(types.hasFunction("some_function"))
            #expect(!types.hasFunction("table_row") && !types.hasFunction("function_of_others"))
            #expect(!types.hasFunction("") && !types.hasFunction("some_functio"))
            #expect(types.structures(named: "table_row").map(\.byteCount) == [12])
            #expect(types.structures(named: "table_row").first?.members == ["vendor", "device", "flags"])
            #expect(types.structures(named: "int").isEmpty)
            #expect(types.arrayCounts(ofStructure: "table_row") == [26])
            #expect(types.arrayCounts(ofStructure: "other_row").isEmpty)
        }
    }

    /// Names may share their ends.
    @Test func aNameThatIsTheEndOfAnother() throws {
        var types = TestTypeInformation()
        let long = types.name("my_table_row")
        types.structure(name: long + 3, size: 8, [long + 9])
        let read = try #require(TypeInformation(types.file))
        #expect(read.structures(named: "table_row") == [.init(byteCount: 8, members: ["row"])])
        #expect(read.structures(named: "my_table_row").isEmpty)
    }

    @Test func aModuleGoesOnWhereTheKernelEnds() throws {
        let kernel = kernel()
        var module = TestTypeInformation(above: kernel)
        // Its name in the kernel, a member's in the module, and the other way round.
        let own = module.name("map")
        module.structure(name: 1 + 4, size: 40, [own, 1])
        let odp = module.structure("odp", size: 80, ["umem"])
        module.table(of: odp, count: 3)
        let base = try #require(TypeInformation(kernel.file))
        let read = try #require(TypeInformation(module.file, base: base))
        #expect(read.structures(named: "some_function") == [.init(byteCount: 40, members: ["map", "int"])])
        #expect(read.structures(named: "odp").first?.members == ["umem"])
        #expect(read.arrayCounts(ofStructure: "odp") == [3])
        #expect(read.structures(named: "table_row").isEmpty, "the kernel's are not the module's")
    }

    /// A kind that came later tells its size, or nothing can be said.
    @Test func aKindThatIsNotKnown() throws {
        let unknown = kernel { types in _ = types.type(20, members: 2, [1, 2, 3]) }
        #expect(TypeInformation(unknown.file) == nil)
        var told = unknown
        told.layout = [UInt8](repeating: 0, count: 4 * 20) + [4, 4, 0, 0]
        #expect(try #require(TypeInformation(told.file)).arrayCounts(ofStructure: "table_row") == [26])
        told.layout = [UInt8](repeating: 0, count: 4 * 20) + [4, 12, 0, 0]
        #expect(TypeInformation(told.file)?.arrayCounts(ofStructure: "table_row") != [26])
    }

    @Test func qualifiersThatRunInACircle() throws {
        var types = kernel()
        let next = types.type(10, size: 0)
        types.type(9, size: next + 2)
        types.type(10, size: next + 1)
        types.type(3, [next + 1, 1, 9])
        #expect(try #require(TypeInformation(types.file)).arrayCounts(ofStructure: "table_row") == [26])
    }

    @Test func whatIsCutOffIsRefused() {
        let file = kernel().file
        for count in 0..<file.count { #expect(TypeInformation(Array(file.prefix(count))) == nil) }
    }

    @Test func neverACrashIn20000DamagedFiles() {
        var random = SeededGenerator(seed: 20_000)
        let kernel = kernel()
        var module = TestTypeInformation(above: kernel)
        module.structure("odp", size: 80, ["map"])
        var understood = 0
        for _ in 0..<20_000 {
            let base = TypeInformation(random.mutated(kernel.file))
            let read = TypeInformation(random.mutated(module.file), base: base)
            for types in [base, read].compactMap({ $0 }) {
                understood += 1
                _ = types.hasFunction("some_function")
                _ = types.arrayCounts(ofStructure: "table_row").count
                for name in ["odp", "table_row", "map"] { _ = types.structures(named: name) }
            }
        }
        #expect(understood > 5_000)
    }

    /// Each kernel that runs this and has type information.
    @Test(.enabled(if: SystemRoot.live.exists("sys/kernel/btf/vmlinux")))
    func thatOfTheRunningKernel() throws {
        let types = try #require(TypeInformation(root: .live))
        #expect(types.hasFunction("pci_enable_device"))
        #expect(types.structures(named: "pci_dev").allSatisfy { $0.members.contains("devfn") })
        #expect(!types.structures(named: "pci_dev").isEmpty)
        #expect(!types.hasFunction("no_kernel_has_this"))
    }
}
