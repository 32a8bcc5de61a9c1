// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

public import CPeerMR
public import CVerbs
internal import PCITopology
internal import PeerMR
internal import PeerMRCore
internal import Verbs

/// The four answers, with their texts for C.
@safe
final class CapabilityBox: @unchecked Sendable {
    let answers: [peermr_answer]
    let route: peermr_route_result
    let findings: [peermr_finding]
    private let texts = Texts()

    init(_ assessment: Assessment) {
        let texts = texts
        unsafe answers = [assessment.api, assessment.exporter, assessment.route, assessment.data].map { answer in
            unsafe peermr_answer(
                struct_size: 0, outcome: answer.outcome.inC, reason: texts.keep(answer.reason),
                remedy: texts.keep(answer.remedy ?? ""))
        }
        let verdict = assessment.path?.verdict ?? .unknown
        unsafe route = unsafe peermr_route_result(
            struct_size: 0, outcome: assessment.route.outcome.inC, map_type: verdict.mapType.inC,
            distance: Int32(clamping: verdict.distance), reason: texts.keep(assessment.route.reason),
            remedy: texts.keep(assessment.route.remedy ?? ""))
        unsafe findings = (assessment.path?.findings ?? []).map { finding in
            unsafe peermr_finding(
                struct_size: 0, code: finding.code.inC, name: texts.keep(finding.code.rawValue),
                device: texts.keep(finding.device ?? ""), detail: texts.keep(finding.detail),
                remedy: texts.keep(finding.remedy ?? ""))
        }
    }
}

@c @implementation
public func peermr_check(
    _ context: UnsafeMutablePointer<ibv_context>?, _ provider_bdf: UnsafePointer<CChar>?,
    _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try validate(out)
        guard let context = unsafe context else { throw .null("struct ibv_context") }
        let provider = unsafe try address(provider_bdf, "provider_bdf")
        let device = unsafe Context(adopting: UnsafeMutableRawPointer(context))
        let box = CapabilityBox(Assessment(of: provider, for: device))
        unsafe out.pointee = try Live.capabilities.add(box)
    }
}

@c @implementation
public func peermr_capability_answer(
    _ capability: OpaquePointer?, _ question: peermr_question, _ out: UnsafeMutablePointer<peermr_answer>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try Structs.validate(out, "peermr_answer")
        unsafe try Live.capabilities.use(capability) { (box) throws(PeerMRError) in
            guard unsafe box.answers.indices.contains(Int(question.rawValue)) else {
                throw .unknownValue(UInt64(question.rawValue), "enum peermr_question")
            }
            unsafe Structs.fill(out, box.answers[Int(question.rawValue)])
        }
    }
}

@c @implementation
public func peermr_capability_route(
    _ capability: OpaquePointer?, _ out: UnsafeMutablePointer<peermr_route_result>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try Structs.validate(out, "peermr_route_result")
        unsafe try Live.capabilities.use(capability) { (box) throws(PeerMRError) in
            unsafe Structs.fill(out, box.route)
        }
    }
}

@c @implementation
public func peermr_capability_finding_count(_ capability: OpaquePointer?) -> UInt64 {
    value { () throws(PeerMRError) in
        unsafe try Live.capabilities.use(capability) { (box) throws(PeerMRError) in
            UInt64(unsafe box.findings.count)
        }
    } ?? 0
}

@c @implementation
public func peermr_capability_finding(
    _ capability: OpaquePointer?, _ index: UInt64, _ out: UnsafeMutablePointer<peermr_finding>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try Structs.validate(out, "peermr_finding")
        unsafe try Live.capabilities.use(capability) { (box) throws(PeerMRError) in
            let count = unsafe box.findings.count
            guard index < UInt64(count) else { throw .noFinding(index, count) }
            unsafe Structs.fill(out, box.findings[Int(index)])
        }
    }
}

@c @implementation
public func peermr_capability_free(_ capability: OpaquePointer?) -> peermr_status {
    report { () throws(PeerMRError) in
        unsafe try Live.capabilities.end(capability) { (_) throws(PeerMRError) in }
    }
}
