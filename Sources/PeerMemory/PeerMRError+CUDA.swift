// SPDX-License-Identifier: Apache-2.0

package import PeerMRCore

extension PeerMRError {
    package static let cudaErrors = ErrorSection(
        "NVIDIA GPUs",
        [
            noCUDALibrary, oldCUDALibrary, otherGPUs, noGPUs, cudaExportsNothing, cudaGaveNoDescriptor,
            cudaGaveNoContext, cuda,
        ])
}

// NVIDIA's driver library: by call and CUresult. There is no errno.
extension PeerMRError {
    static let noCUDALibrary = ErrorTable("dlopen", facts: "path or dlerror") { said in
        ErrorRow(
            .notFound, "NVIDIA's driver library cannot be opened (\(said))",
            "install NVIDIA's driver; in a container run it with the GPUs passed in, which brings the library")
    }
    static let oldCUDALibrary = ErrorTable("dlsym", facts: "path", "name") { path, name in
        ErrorRow(.notSupported, "\(path) has no \(name)")
            .with(remedy: "install a driver for CUDA 11.7 (515) or newer: older ones export no dma-bufs")
    }
    static let otherGPUs = ErrorTable(facts: "ordinal", "count", "last") { ordinal, count, last in
        ErrorRow(.notFound, "there is no GPU \(ordinal): CUDA sees \(count)")
            .with(remedy: "name one from 0 to \(last); CUDA_VISIBLE_DEVICES decides which there are")
    }
    static let noGPUs = ErrorTable(facts: "ordinal") { ordinal in
        ErrorRow(.notFound, "there is no GPU \(ordinal): CUDA sees 0")
            .with(remedy: "see nvidia-smi, and CUDA_VISIBLE_DEVICES, which may hide them")
    }

    static func noCUDADevice(_ ordinal: Int32, count: Int32) -> PeerMRError {
        count > 0 ? otherGPUs(ordinal, count, count - 1) : noGPUs(ordinal)
    }

    static let cudaExportsNothing = ErrorTable(
        "cuDeviceGetAttribute", facts: "ordinal", .optional(" (", "address", ")")
    ) { ordinal, address in
        ErrorRow(
            .notSupported, "the driver of GPU \(ordinal)\(address) exports no dma-bufs",
            "install NVIDIA's open kernel modules (515 or newer; cat /proc/driver/nvidia/version says \"Open Kernel "
                + "Module\"), on a GPU from Turing on that is made for data centers or workstations")
    }
    static let cudaGaveNoDescriptor = ErrorTable("cuMemGetHandleForAddressRange") {
        ErrorRow(.system, "CUDA exported a dma-buf and returned no descriptor of it", "update NVIDIA's driver")
    }
    static let cudaGaveNoContext = ErrorTable("cuDevicePrimaryCtxRetain") {
        ErrorRow(.system, "CUDA returned no context", "update NVIDIA's driver")
    }

    private static let exportCall = "cuMemGetHandleForAddressRange"

    /// The results are those of cuda.h.
    static let cuda = ErrorTable(
        "any call of libcuda", answer: "CUDA", facts: "result", "call", .optional(" for ", "context")
    ) { result, call, context in
        let said = "CUDA says \(result) to \(call)\(context)"
        ErrorRow(results: [2], .resourceLimit, said, "ask for less, or end other programs on the GPU (nvidia-smi)")
        ErrorRow(results: [3, 4], .system, said, "use CUDA from threads that end before the process does")
        ErrorRow(
            results: [34], .notFound, said,
            "take the stub of the CUDA toolkit out of LD_LIBRARY_PATH: the driver brings the real library")
        ErrorRow(results: [35, 803], .notSupported, said)
            .with(remedy: "update NVIDIA's driver, and reboot where kernel module and library differ")
        ErrorRow(results: [46], .busy, said)
            .with(remedy: "another process has the GPU for itself: nvidia-smi -c DEFAULT, or end that process")
        ErrorRow(results: [100], .notFound, said, "see nvidia-smi, and CUDA_VISIBLE_DEVICES, which may hide the GPUs")
        ErrorRow(results: [101], .notFound, said, "name a GPU that there is (nvidia-smi -L)")
        ErrorRow(call: exportCall, results: [1, 801], .notSupported, said)
            .with(remedy: "install NVIDIA's open kernel modules: the closed ones export no dma-bufs")
        ErrorRow(results: [1, 801], .system, said, "update NVIDIA's driver")
        ErrorRow(results: [214, 220, 700, 702, 719], .memoryRevoked, said)
            .with(remedy: "see the kernel log (dmesg) for Xid messages, and start the process anew")
        ErrorRow(results: [304], .system, said, "see the kernel log (dmesg), and the rights on /dev/nvidia*")
        ErrorRow(results: [800], .notPermitted, said, "give this user rights on /dev/nvidia*")
        ErrorRow(results: [802], .notFound, said)
            .with(remedy: "wait for the fabric manager to come up (systemctl status nvidia-fabricmanager)")
        ErrorRow(results: [999], .system, said)
            .with(remedy: "see that the kernel modules are loaded (nvidia-modprobe -u -c 0), and dmesg")
        ErrorRow(.system, said, "see nvidia-smi and the kernel log (dmesg)")
    }

    static func cuda(_ call: String, _ result: Int32, name: String, _ context: String) -> PeerMRError {
        cuda(call, result: result, name, call, context.isEmpty ? nil : context)
    }
}
