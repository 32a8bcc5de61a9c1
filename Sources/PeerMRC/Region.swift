// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

public import CPeerMR
internal import CThreadTexts
public import CVerbs
internal import PeerMR
internal import PeerMemory
internal import PeerMRCore
internal import Verbs

/// A region that an application holds, with its texts for C.
@safe
final class RegionBox: @unchecked Sendable {
    let region: PeerRegion
    let info: peermr_region_info
    private let texts = Texts()

    /// - Parameter address: where the CPU finds the memory, where the region does not know.
    init(_ region: consuming PeerRegion, at address: UnsafeMutableRawPointer? = nil) {
        let isBounced = region.bounceReason != nil
        let mapped = (try? region.slice(at: 0, count: 0))?.address
        let keys = region.keys
        unsafe info = unsafe peermr_region_info(
            struct_size: 0, kind: region.kind.inC, method: region.choice.method.inC, lkey: keys.localKey,
            rkey: keys.remoteKey, io_address: keys.address, length: keys.byteCount,
            address: mapped.flatMap { unsafe UnsafeMutableRawPointer(bitPattern: $0) } ?? address,
            alignment: keys.constraint.alignment, path_mtu: UInt32(clamping: keys.constraint.pathMTUBytes),
            bounced: isBounced ? 1 : 0, slack_before: region.padding.before, slack_after: region.padding.after,
            nanoseconds: region.registrationNanoseconds,
            provider_bdf: texts.keep(region.provider.map { "\($0)" } ?? ""),
            reason: texts.keep(region.choice.reason),
            bounce_reason: texts.keep(region.bounceReason.map { "\($0)" } ?? ""), owner: region.owner.inC)
        self.region = region
    }

    /// The C object.
    var object: UnsafeMutablePointer<ibv_mr> { unsafe region.rawObject.assumingMemoryBound(to: ibv_mr.self) }

    /// Whether memory of the library goes with the region.
    var ownsMemory: Bool {
        region.memory is P2PMemory || region.memory is MemoryPart || region.bounceReason != nil
    }
}

@c @implementation
public func peermr_region_mr(_ region: OpaquePointer?) -> UnsafeMutablePointer<ibv_mr>? {
    unsafe value { () throws(PeerMRError) in
        unsafe try Live.regions.use(region) { (box) throws(PeerMRError) in unsafe box.object }
    }
}

@c @implementation
public func peermr_region_info(
    _ region: OpaquePointer?, _ out: UnsafeMutablePointer<peermr_region_info>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try Structs.validate(out, "peermr_region_info", before: \.owner)
        unsafe try Live.regions.use(region) { (box) throws(PeerMRError) in unsafe Structs.fill(out, box.info) }
    }
}

@c @implementation
public func peermr_region_detach(
    _ region: OpaquePointer?, _ out: UnsafeMutablePointer<UnsafeMutablePointer<ibv_mr>?>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try validate(out)
        unsafe try Live.regions.end(region) { (box) throws(PeerMRError) in
            if box.ownsMemory { throw .ownedMemory() }
            unsafe box.region.detach()
            unsafe out.pointee = box.object
        }
    }
}

@c @implementation
public func peermr_deregister(_ region: OpaquePointer?) -> peermr_status {
    report { () throws(PeerMRError) in
        unsafe try Live.regions.end(region) { (box) throws(PeerMRError) in
            try box.region.deregister()
        }
    }
}

@c @implementation
public func peermr_prove(
    _ region: OpaquePointer?, _ length: UInt64, _ timeout_milliseconds: UInt32,
    _ out: UnsafeMutablePointer<peermr_proof>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try Structs.validate(out, "peermr_proof", before: \.owner)
        let mebibytes16: UInt64 = 16 << 20
        guard length <= mebibytes16 else { throw .proofTooLong(length) }
        var options = ProofOptions()
        if length > 0 { options.byteCount = Int(length) }
        if timeout_milliseconds > 0 { options.timeoutMilliseconds = Int(timeout_milliseconds) }
        let proof = unsafe try Live.regions.use(region) { (box) throws(PeerMRError) in try box.region.prove(options) }
        guard let texts = unsafe ThreadTexts.result(proof.reason)?.pointee.texts else { return }
        unsafe Structs.fill(
            out,
            peermr_proof(
                struct_size: 0, state: proof.state.inC, into_memory: proof.intoMemory.inC,
                out_of_memory: proof.outOfMemory.inC, first_difference: Int64(proof.firstDifference ?? -1),
                length: UInt64(proof.byteCount), nanoseconds: proof.nanoseconds, reason: texts.0,
                owner: proof.owner.inC))
    }
}
