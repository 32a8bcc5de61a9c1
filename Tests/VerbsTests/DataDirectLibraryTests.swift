// SPDX-License-Identifier: Apache-2.0

import CVerbs
import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Verbs

/// The calls of libmlx5, looked up in a library that is loaded under its name, as libibverbs loads it: by a path of its
/// own, and for itself alone.
@Suite struct DataDirectLibraryTests {
    private static let source = """
        #include <errno.h>
        #include <stddef.h>
        #include <string.h>
        static void *mine;
        void fake_expect(void *context) { mine = context; }
        int mlx5dv_get_data_direct_sysfs_path(void *context, char *path, size_t bytes)
        {
            const char *place = "/devices/pci0000:00/0000:00:01.0/0000:01:00.0";
            if (context != mine)
                return ENODEV;
            if (strlen(place) + 1 > bytes)
                return ENOSPC;
            strcpy(path, place);
            return 0;
        }
        void *mlx5dv_reg_dmabuf_mr(void *domain, unsigned long offset, size_t bytes, unsigned long address, int fd,
                                   int access, int flags)
        {
            errno = domain == mine && offset == 1 && bytes == 2 && address == 3 && fd == 4 && access == 5 && flags == 1
                ? EXDEV : EINVAL;
            return NULL;
        }
        """

    private func load(_ folder: TemporaryFolder) throws -> UnsafeMutableRawPointer {
        folder.file("fake.c", Self.source)
        folder.file("fake.map", "MLX5_1.25 { global: mlx5dv_*; };\n")
        let library = folder.path.appending("libmlx5-rdmav34.so").string
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "cc", "-shared", "-fPIC", "-Wl,-soname,libmlx5.so.1",
            "-Wl,--version-script=\(folder.path.appending("fake.map").string)", "-o", library,
            folder.path.appending("fake.c").string,
        ]
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "the fake is not built")
        return try #require(dlopen(library, RTLD_NOW | RTLD_LOCAL))
    }

    @Test func theLibraryIsFoundByItsName() throws {
        let folder = TemporaryFolder()
        let handle = try load(folder)
        let device = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 64)
        defer { device.deallocate() }
        device.initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
        let context = device.assumingMemoryBound(to: ibv_context.self)
        #expect(Context(raw: context, owned: false).dataDirectPath() == nil, "it says ENODEV")
        let expect = unsafeBitCast(
            try #require(dlsym(handle, "fake_expect")), to: (@convention(c) (UnsafeMutableRawPointer) -> Void).self)
        expect(device)
        let path = Context(raw: context, owned: false).dataDirectPath()
        #expect(path == "/devices/pci0000:00/0000:00:01.0/0000:01:00.0")
        #expect(peermr_reg_data_direct_mr(device.assumingMemoryBound(to: ibv_pd.self), 1, 2, 3, 4, 5) == nil)
        #expect(errno == EXDEV, "the arguments, in their order, with the flag of data direct")
        var short = [CChar](repeating: 0, count: 8)
        #expect(peermr_data_direct_path(context, &short, 8) == ENOSPC)
    }
}
