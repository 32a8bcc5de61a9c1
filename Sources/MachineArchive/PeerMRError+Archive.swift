// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import PeerMRCore
internal import SystemPackage

extension PeerMRError {
    private static let again = "capture the machine again"

    static func openArchive(_ errno: Errno, _ path: FilePath) -> PeerMRError {
        let code: PeerMRError.Code =
            switch errno {
            case .noSuchFileOrDirectory: .notFound
            case .permissionDenied: .notPermitted
            default: .system
            }
        return PeerMRError(
            code, call: "open", errno: errno, reason: "\(path) cannot be read",
            remedy: "name a directory with sys and proc in it, or an archive of one")
    }

    static func writeArchive(
        _ name: String, _ call: String? = nil, _ errno: Errno? = nil, detail: String? = nil
    ) -> PeerMRError {
        let isLarge = errno == .fileTooLarge
        let isFull = errno == .noSpace || errno == Errno(rawValue: EDQUOT) || isLarge
        let cause = isLarge ? "a file may not be as large here" : isFull ? "the disk is full" : detail
        let room = "make room for it there, or name another place"
        return PeerMRError(
            isFull ? .resourceLimit : .system, call: call, errno: errno,
            reason: "\(name) cannot be written\(cause.map { ": \($0)" } ?? "")",
            remedy: isFull ? room : "name a file in a directory that this user may write to")
    }

    static func archiveMemory(_ name: String) -> PeerMRError {
        PeerMRError(.resourceLimit, reason: "there is no memory to read \(name) with")
    }

    static func notAnArchive(_ name: String, _ detail: String) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "\(name) is no tar archive that can be read: \(detail)",
            remedy: "name a directory with sys and proc in it, or an archive of one")
    }

    static func oldSnapshot(_ name: String) -> PeerMRError {
        PeerMRError(
            .notSupported,
            reason: "\(name) is a snapshot in the text format of earlier versions, which is not read any more",
            remedy: "capture the machine again, or judge it with the version that captured it")
    }

    static func compressedTwice(_ name: String) -> PeerMRError {
        PeerMRError(.invalidArgument, reason: "\(name) is compressed more than once", remedy: "decompress it first")
    }

    static func archiveTooLarge(_ name: String, _ limit: Int) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "\(name) holds more than \(limit >> 20) MiB",
            remedy: limit == ArchiveLimits.windowedBytes
                ? "compress it with gzip, which may hold \(ArchiveLimits.bytes >> 20) MiB"
                : "archive only what is needed of sys and proc")
    }

    static func damagedArchive(_ name: String, _ detail: String) -> PeerMRError {
        PeerMRError(.invalidArgument, reason: "\(name) is damaged: \(detail)", remedy: again)
    }

    static func archiveEntry(_ name: String, _ detail: String) -> PeerMRError {
        PeerMRError(.invalidArgument, reason: "\(name) is refused: \(detail)", remedy: again)
    }

    static func noMachine(_ name: String) -> PeerMRError {
        PeerMRError(
            .notFound, reason: "\(name) holds no sys and no proc",
            remedy: "name a directory with sys and proc in it, or an archive of one")
    }
}
