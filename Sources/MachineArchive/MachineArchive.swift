// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import PeerMRCore
public import SystemPackage

/// A machine in a tar archive: files of its `sys` and `proc` at their paths, compressed or not.
///
/// An archive may have been made by ``write(_:to:compression:)``, by hwloc-gather-topology, or by hand; `sys` and
/// `proc` may be below other directories. Whatever its bytes are, they make a tree or an error, in less than 64 MiB of
/// memory and a second.
public enum MachineArchive {
    /// Reads an archive.
    ///
    /// `sys/devices/system`, `sys/firmware` and the processes in `proc` are left out, as are files above 4 MiB.
    ///
    /// - Throws: `notFound`, `notPermitted` or `system` with the errno of open(2) where it cannot be opened, `notFound`
    ///   where there is neither `sys` nor `proc` in it, `notSupported` for snapshots of earlier versions, and
    ///   `invalidArgument` for anything that is no archive, is damaged, leads out of the tree or asks for too much.
    public static func read(_ path: FilePath) throws(PeerMRError) -> CapturedTree {
        let file: OwnedDescriptor
        do throws(Errno) {
            file = try OwnedDescriptor(opening: path, flags: O_RDONLY)
        } catch {
            throw .openArchive(error, path)
        }
        return try read(descriptor: file.rawValue, name: path.string)
    }

    /// Reads an archive from a descriptor, which stays the caller's.
    ///
    /// - Parameter name: what errors call it.
    /// - Throws: as ``read(_:)``, apart from opening.
    package static func read(descriptor: Int32, name: String) throws(PeerMRError) -> CapturedTree {
        let stream = try DecompressedStream(descriptor: descriptor, name: name)
        do throws(PeerMRError) {
            let reader = try TarReader(stream, name: name)
            var builder = TreeBuilder(name: name)
            while let entry = try reader.next() { try builder.add(entry, from: reader) }
            try stream.drain()
            return try builder.machine()
        } catch {
            throw stream.beginning.starts(with: "peermr-snapshot ".utf8) ? .oldSnapshot(name) : error
        }
    }
}
