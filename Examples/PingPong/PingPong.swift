// SPDX-License-Identifier: Apache-2.0
//
// ping-pong: shows that two hosts can talk RDMA, over any memory, and how fast. It speaks the protocols of the tools
// that are everywhere already, so that either end may be one of those:
//
//   ping-pong                          a server; ibv_rc_pingpong -g 1 SERVER may be its client
//   ping-pong 10.0.0.2                 a client; ibv_rc_pingpong -g 1 may be its server
//   ping-pong --cm [10.0.0.2]          the same over the connection manager, for rping -c and rping -s
//   ping-pong --memory p2pmem:0000:01:00.0 --sweep 64:1M 10.0.0.2

import ArgumentParser
import CommandSupport
import PeerMR
import PeerTransfer

struct PingPong: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ping-pong",
        abstract: "Measures the round-trip latency of RDMA messages between two hosts, over any memory.",
        discussion: "Without HOST it is the server. Either end may be ibv_rc_pingpong, or with --cm rping.")

    @Argument(help: "The server's name or address; without it, this end is the server.") var host: String?
    @OptionGroup var path: PathArguments
    @OptionGroup var messages: MessageArguments
    @OptionGroup var drive: DriveArguments
    @OptionGroup var output: OutputArguments

    func validate() throws {
        try messages.validate(isClient: host != nil, usesCM: path.cm)
        guard host == nil || !path.persistent else {
            throw ValidationError("--persistent is for servers: leave HOST out.")
        }
        guard path.keyFile == nil || host != nil || drive.nvme != nil else {
            throw ValidationError("--key-file is for clients, and for servers with --nvme.")
        }
        guard drive.nvme == nil || (host == nil && !path.cm) else {
            throw ValidationError("--nvme is for servers without --cm: leave HOST and --cm out.")
        }
    }

    func run() throws {
        try program.run { () throws(PeerMRError) in
            let options = messages.endpointOptions(usesCM: path.cm)
            if path.cm { return try RDMACMMode(path, messages, options, output).run(host) }
            if let host { return try client(host, options) }
            return try server()
        }
    }

    /// Opens the device and makes one end of it.
    private func endpoint(_ options: EndpointOptions) throws(PeerMRError) -> Endpoint {
        let context = try Context.open(path.device)
        try context.checkPort(path.devicePort, size: UInt64(options.sizeLimit))
        var endpoint = try Endpoint(context, connection: nil, options)
        try endpoint.queuePair.initialize(port: path.devicePort, access: [.remoteRead, .remoteWrite])
        return endpoint
    }

    private func client(_ host: String, _ options: EndpointOptions) throws(PeerMRError) -> Int32 {
        let report = try output.report()
        let key = try path.key()
        var endpoint = try endpoint(options)
        try endpoint.prepare(separate: true)
        let socket = try TCPSocket(connectingTo: host, port: path.tcpPort, milliseconds: output.timeoutMilliseconds)
        if options.waits { wakeRegularly() }
        let peer = try endpoint.connectAsClient(socket, path, key, milliseconds: output.timeoutMilliseconds)
        tell(peer, endpoint.region)
        try endpoint.measure(with: peer, messages.runs(output.timeout)) { report.add($0) }
        try report.finish()
        return 0
    }

    private func server() throws(PeerMRError) -> Int32 {
        let key = try path.key()
        if key == nil, drive.nvme != nil, drive.allowList?.isEmpty == false {
            say("there is no key: who takes over an allowed address on the network may overwrite the drive")
        }
        let listener = try TCPListener(port: path.tcpPort, address: path.bind)
        if messages.events { wakeRegularly() }
        while true {
            let status = program.status { () throws(PeerMRError) in
                let report = try output.report()
                let (responder, function) = try drive.responder()
                var endpoint = try endpoint(messages.endpointOptions(usesCM: false, drive: function))
                try endpoint.prepare(separate: responder.separatesAreas || messages.looksAtBytes)
                say("waiting for a client on port \(path.tcpPort)")
                let caller = try awaitCaller(listener, endpoint, key)
                if !path.persistent { listener.refuseOthers() }
                let peer = try endpoint.connectAsServer(caller, path, milliseconds: output.timeoutMilliseconds)
                tell(peer, endpoint.region)
                try endpoint.serve(with: peer, messages.runs(output.timeout), responder) { report.add($0) }
                try report.finish()
                return 0
            }
            // There is nobody to serve for where nobody reads the figures.
            guard path.persistent, !LostOutput.hasHappened else { return status }
        }
    }

    /// Waits for a client; with a drive, for one that may overwrite it.
    private func awaitCaller(
        _ listener: borrowing TCPListener, _ endpoint: borrowing Endpoint, _ key: SharedKey?
    ) throws(PeerMRError) -> Caller {
        guard drive.nvme != nil, let list = drive.allowList else {
            let socket = try listener.accept()
            // A client that says nothing has the server's one place all the same.
            if !path.persistent { listener.refuseOthers() }
            return try endpoint.hear(socket, path, milliseconds: output.timeoutMilliseconds)
        }
        while true {
            let socket = try listener.accept()
            // Who has no right to the drive must not end its server either.
            do throws(PeerMRError) {
                let caller = try endpoint.hear(socket, path, milliseconds: output.timeoutMilliseconds)
                var objection = try endpoint.objection(to: caller, list, port: path.devicePort)
                if objection == nil, let key {
                    let isProven = try endpoint.isProven(caller, key, milliseconds: output.timeoutMilliseconds)
                    if !isProven { objection = "a client: it does not have this server's key" }
                }
                guard let objection else { return caller }
                say("refused \(objection)")
                try caller.socket.send(AddressMessage.refusal)
            } catch {
                say("refused a client: \(error)")
            }
        }
    }

    private func tell(_ peer: borrowing Peer, _ region: borrowing PeerRegion) {
        let kind = peer.isExtended ? "ping-pong" : "ibv_rc_pingpong"
        say("here: \(peer.own.endpoint.text); there: \(peer.told.endpoint.text), \(kind)")
        say("memory here: \(region.kind.rawValue), \(region.choice.reason)")
    }
}

extension QueuePairEndpoint {
    fileprivate var text: String {
        "queue pair 0x\(String(number, radix: 16)), "
            + (gid.map { "GID \($0)" } ?? "LID 0x\(String(localIdentifier, radix: 16))")
    }
}

@main
enum Main {
    static func main() { program.main(PingPong.self) }
}
