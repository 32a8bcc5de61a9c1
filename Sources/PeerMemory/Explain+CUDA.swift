// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

// NVIDIA's driver library: (call, CUresult) into words. There is no errno.
extension PeerMRError {
    static func noCUDALibrary(_ path: String, _ said: String) -> PeerMRError {
        PeerMRError(
            .notFound, call: "dlopen",
            reason: "NVIDIA's driver library cannot be opened (\(said.isEmpty ? path : said))",
            remedy: "install NVIDIA's driver; in a container run it with the GPUs handed in, which brings the library")
    }

    static func oldCUDALibrary(_ path: String, lacks name: String) -> PeerMRError {
        PeerMRError(
            .notSupported, call: "dlsym", reason: "\(path) has no \(name)",
            remedy: "install a driver for CUDA 11.7 (515) or newer: older ones export no dma-bufs")
    }

    static func noCUDADevice(_ ordinal: Int32, count: Int32) -> PeerMRError {
        PeerMRError(
            .notFound, reason: "there is no GPU \(ordinal): CUDA sees \(count)",
            remedy: count > 0
                ? "name one from 0 to \(count - 1); CUDA_VISIBLE_DEVICES decides which there are"
                : "see nvidia-smi, and CUDA_VISIBLE_DEVICES, which may hide them")
    }

    static func cudaExportsNothing(_ ordinal: Int32, _ address: PCIAddress?) -> PeerMRError {
        let place = address.map { " (\($0))" } ?? ""
        return PeerMRError(
            .notSupported, call: "cuDeviceGetAttribute",
            reason: "the driver of GPU \(ordinal)\(place) exports no dma-bufs",
            remedy: "install NVIDIA's open kernel modules (515 or newer; cat /proc/driver/nvidia/version says "
                + "\"Open Kernel Module\"), on a GPU from Turing on that is made for data centres or workstations")
    }

    static var cudaGaveNoDescriptor: PeerMRError {
        PeerMRError(
            .system, call: "cuMemGetHandleForAddressRange",
            reason: "CUDA exported a dma-buf and gave no descriptor of it",
            remedy: "update NVIDIA's driver")
    }

    static var cudaGaveNoContext: PeerMRError {
        PeerMRError(
            .system, call: "cuDevicePrimaryCtxRetain", reason: "CUDA gave no context", remedy: "update NVIDIA's driver")
    }

    /// The CUresult values are those of cuda.h.
    static func cuda(_ call: String, _ result: Int32, name: String, _ context: String) -> PeerMRError {
        let of = context.isEmpty ? "" : " for \(context)"
        let (code, remedy): (PeerMRError.Code, String) =
            switch result {
            case 2: (.resourceLimit, "ask for less, or end other programs on the GPU (nvidia-smi)")
            case 3, 4: (.system, "use CUDA from threads that end before the process does")
            case 34:
                (
                    .notFound,
                    "take the stub of the CUDA toolkit out of LD_LIBRARY_PATH: the driver brings the real library"
                )
            case 35, 803: (.notSupported, "update NVIDIA's driver, and reboot where kernel module and library differ")
            case 46: (.busy, "another process has the GPU for itself: nvidia-smi -c DEFAULT, or end that process")
            case 100: (.notFound, "see nvidia-smi, and CUDA_VISIBLE_DEVICES, which may hide the GPUs")
            case 101: (.notFound, "name a GPU that there is (nvidia-smi -L)")
            case 1, 801:
                call == "cuMemGetHandleForAddressRange"
                    ? (.notSupported, "install NVIDIA's open kernel modules: the closed ones export no dma-bufs")
                    : (.system, "update NVIDIA's driver")
            case 214, 220, 700, 702, 719:
                (.memoryRevoked, "see the kernel log (dmesg) for Xid messages, and start the process anew")
            case 304: (.system, "see the kernel log (dmesg), and the rights on /dev/nvidia*")
            case 800: (.notPermitted, "give this user rights on /dev/nvidia*")
            case 802: (.notFound, "wait for the fabric manager to come up (systemctl status nvidia-fabricmanager)")
            case 999: (.system, "see that the kernel modules are loaded (nvidia-modprobe -u -c 0), and dmesg")
            default: (.system, "see nvidia-smi and the kernel log (dmesg)")
            }
        return PeerMRError(code, call: call, reason: "CUDA says \(name) to \(call)\(of)", remedy: remedy)
    }
}
