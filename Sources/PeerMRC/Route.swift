// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

public import CPeerMR
internal import CThreadTexts
internal import PCITopology
internal import PeerMR
internal import PeerMRCore

@c @implementation
public func peermr_route(
    _ client_bdf: UnsafePointer<CChar>?, _ provider_bdf: UnsafePointer<CChar>?,
    _ out: UnsafeMutablePointer<peermr_route_result>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try Structs.validate(out, "peermr_route_result")
        let client = unsafe try address(client_bdf, "client_bdf")
        let provider = unsafe try address(provider_bdf, "provider_bdf")
        let route = Assessment.path(of: provider, for: .function(client))
        let (answer, verdict) = (Answer(route), route.verdict)
        guard let texts = unsafe ThreadTexts.result(answer.reason, answer.remedy ?? "")?.pointee.texts else { return }
        unsafe Structs.fill(
            out,
            peermr_route_result(
                struct_size: 0, outcome: answer.outcome.inC, map_type: verdict.mapType.inC,
                distance: Int32(clamping: verdict.distance), reason: texts.0, remedy: texts.1))
    }
}

/// Where a handle or an object is put; NULL is put there first.
func validate<Pointer>(_ out: UnsafeMutablePointer<Pointer?>?) throws(PeerMRError) -> UnsafeMutablePointer<Pointer?> {
    guard let out = unsafe out else { throw .null("the out-parameter") }
    unsafe out.pointee = nil
    return unsafe out
}

/// The address of a function that there is.
///
/// - Parameter name: of the parameter, for messages.
func address(_ text: UnsafePointer<CChar>?, _ name: String) throws(PeerMRError) -> PCIAddress {
    let address = unsafe try spelledAddress(text, name)
    let folder = "sys/bus/pci/devices/\(address)"
    guard SystemRoot.live.exists(folder) || SystemRoot.live.linkTarget(folder) != nil else {
        throw .noFunction("\(address)")
    }
    return address
}

/// The address of a function that there is, or was.
func spelledAddress(_ text: UnsafePointer<CChar>?, _ name: String) throws(PeerMRError) -> PCIAddress {
    guard let text = unsafe text else { throw .null(name) }
    // No address is longer, and no more is read of what is none.
    let limit = 17
    var bytes: [UInt8] = []
    while bytes.count < limit, unsafe text[bytes.count] != 0 {
        bytes.append(UInt8(bitPattern: unsafe text[bytes.count]))
    }
    guard let address = PCIAddress(String(decoding: bytes, as: UTF8.self)) else {
        let shown = bytes.map { (0x20..<0x7f).contains($0) ? String(UnicodeScalar($0)) : "?" }.joined()
        throw .noAddress(bytes.count < limit ? shown : shown + "...")
    }
    return address
}
