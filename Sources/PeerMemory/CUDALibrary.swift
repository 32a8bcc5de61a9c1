// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemPackage
public import PeerMRCore

/// NVIDIA's driver library, opened when it is first needed: nothing of CUDA is there when the package is built.
///
/// Only the driver API is used (`libcuda.so.1`, which comes with the driver), not the toolkit.
@safe
public final class CUDALibrary: @unchecked Sendable {
    /// What it was opened by.
    public let path: String
    private let handle: UnsafeMutableRawPointer
    let functions: CUDAFunctions

    /// Opens the library and starts CUDA in this process.
    ///
    /// It stays open to the end of the process: the driver has threads of its own in it.
    ///
    /// - Parameter path: a name that the dynamic linker looks up, or a path; tests have a library of their own.
    /// - Throws: `notFound` without the library or without a GPU (CUDA_ERROR_NO_DEVICE), `notSupported` for a driver
    ///   that is too old (before CUDA 11.7), `system` where CUDA does not start. See dlopen(3), `cuInit`.
    public static func load(_ path: String = "libcuda.so.1") throws(PeerMRError) -> CUDALibrary {
        guard let handle = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
            let said = unsafe dlerror().map { unsafe String(cString: $0) } ?? ""
            throw .noCUDALibrary(said.isEmpty ? path : said)
        }
        let functions: CUDAFunctions
        do throws(CUDAFunctions.Missing) {
            functions = try unsafe CUDAFunctions(in: handle)
        } catch {
            throw .oldCUDALibrary(path, error.name)
        }
        let library = unsafe CUDALibrary(path: path, handle: handle, functions: functions)
        try library.check("cuInit", functions.initialize(0))
        return library
    }

    private init(path: String, handle: UnsafeMutableRawPointer, functions: CUDAFunctions) {
        self.path = path
        unsafe self.handle = handle
        self.functions = functions
    }

    /// Turns what a call returned into an error, in words.
    func check(_ call: String, _ result: Int32, _ context: @autoclosure () -> String = "") throws(PeerMRError) {
        guard result != 0 else { return }
        throw .cuda(call, result, name: name(of: result), context())
    }

    private func name(of result: Int32) -> String {
        var text: UnsafePointer<CChar>?
        guard unsafe functions.errorName(result, &text) == 0, let text = unsafe text else {
            return "CUresult \(result)"
        }
        return unsafe String(cString: text)
    }

    /// How many GPUs there are.
    ///
    /// - Throws: what `cuDeviceGetCount` returned.
    public func deviceCount() throws(PeerMRError) -> Int32 {
        var count: Int32 = 0
        try unsafe check("cuDeviceGetCount", functions.deviceCount(&count))
        return count
    }
}

/// The functions that are used, by their names in the library; those with `_v2` are what cuda.h means without it.
@safe
struct CUDAFunctions {
    typealias Pointer = UInt64
    typealias Context = OpaquePointer

    let initialize: @convention(c) (UInt32) -> Int32
    let errorName: @convention(c) (Int32, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> Int32
    let deviceCount: @convention(c) (UnsafeMutablePointer<Int32>) -> Int32
    let device: @convention(c) (UnsafeMutablePointer<Int32>, Int32) -> Int32
    let attribute: @convention(c) (UnsafeMutablePointer<Int32>, Int32, Int32) -> Int32
    let busAddress: @convention(c) (UnsafeMutablePointer<CChar>, Int32, Int32) -> Int32
    let retainContext: @convention(c) (UnsafeMutablePointer<Context?>, Int32) -> Int32
    let releaseContext: @convention(c) (Int32) -> Int32
    let pushContext: @convention(c) (Context) -> Int32
    let popContext: @convention(c) (UnsafeMutablePointer<Context?>) -> Int32
    let synchronize: @convention(c) () -> Int32
    let allocate: @convention(c) (UnsafeMutablePointer<Pointer>, Int) -> Int32
    let free: @convention(c) (Pointer) -> Int32
    let setAttribute: @convention(c) (UnsafeRawPointer, Int32, Pointer) -> Int32
    let copyIn: @convention(c) (Pointer, UnsafeRawPointer, Int) -> Int32
    let copyOut: @convention(c) (UnsafeMutableRawPointer, Pointer, Int) -> Int32
    let exportRange: @convention(c) (UnsafeMutableRawPointer, Pointer, Int, Int32, UInt64) -> Int32

    /// A function that the library does not have.
    struct Missing: Error {
        let name: String
    }

    init(in handle: UnsafeMutableRawPointer) throws(Missing) {
        unsafe initialize = try Self.symbol("cuInit", handle)
        unsafe errorName = try Self.symbol("cuGetErrorName", handle)
        unsafe deviceCount = try Self.symbol("cuDeviceGetCount", handle)
        unsafe device = try Self.symbol("cuDeviceGet", handle)
        unsafe attribute = try Self.symbol("cuDeviceGetAttribute", handle)
        unsafe busAddress = try Self.symbol("cuDeviceGetPCIBusId", handle)
        unsafe retainContext = try Self.symbol("cuDevicePrimaryCtxRetain", handle)
        unsafe releaseContext = try Self.symbol("cuDevicePrimaryCtxRelease_v2", handle)
        unsafe pushContext = try Self.symbol("cuCtxPushCurrent_v2", handle)
        unsafe popContext = try Self.symbol("cuCtxPopCurrent_v2", handle)
        unsafe synchronize = try Self.symbol("cuCtxSynchronize", handle)
        unsafe allocate = try Self.symbol("cuMemAlloc_v2", handle)
        unsafe free = try Self.symbol("cuMemFree_v2", handle)
        unsafe setAttribute = try Self.symbol("cuPointerSetAttribute", handle)
        unsafe copyIn = try Self.symbol("cuMemcpyHtoD_v2", handle)
        unsafe copyOut = try Self.symbol("cuMemcpyDtoH_v2", handle)
        unsafe exportRange = try Self.symbol("cuMemGetHandleForAddressRange", handle)
    }

    private static func symbol<Function>(
        _ name: String, _ handle: UnsafeMutableRawPointer
    ) throws(Missing) -> Function {
        guard let address = unsafe dlsym(handle, name) else { throw Missing(name: name) }
        return unsafe unsafeBitCast(address, to: Function.self)
    }
}
