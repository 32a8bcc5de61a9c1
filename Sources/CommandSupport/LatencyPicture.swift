// SPDX-License-Identifier: Apache-2.0

package import PeerMRCore

/// A picture of latencies, drawn by gnuplot from the same text that `--csv` writes.
package struct LatencyPicture {
    private let gnuplot: ExternalProgram
    private let file: OutputFile

    /// Looks for gnuplot and opens the file, before anything is measured; nil where no file is named.
    ///
    /// - Throws: `notSupported` without gnuplot, and what ``OutputFile`` throws.
    package init?(ifNamed path: String?) throws(PeerMRError) {
        guard let path else { return nil }
        gnuplot = try ExternalProgram("gnuplot -d", package: "gnuplot-nox")
        file = try OutputFile(path)
    }

    /// Draws the picture.
    ///
    /// - Parameters:
    ///   - csv: a table with a row for each measurement; see latency.gp.
    ///   - hgrm: percentile distributions of its rows, in their order; nil for none.
    package func draw(csv: String, hgrm: String? = nil, title: String, subtitle: String) throws(PeerMRError) {
        try file.write(try Self.svg(gnuplot, csv: csv, hgrm: hgrm, title: title, subtitle: subtitle))
    }

    package static func svg(
        _ gnuplot: ExternalProgram, csv: String, hgrm: String?, title: String, subtitle: String
    ) throws(PeerMRError) -> String {
        let table = try ScratchFile(csv)
        let distributions = try hgrm.map { text throws(PeerMRError) in try ScratchFile(text) }
        var variables = [("csv", table.path), ("title", title), ("subtitle", subtitle)]
        if let distributions { variables.append(("hgrm", distributions.path)) }
        let settings = variables.map { name, text in
            // A line end would end the string, and what follows would be gnuplot's to run.
            "\(name) = '\(text.printable.replacing("'", with: "''"))'\n"
        }
        let script = String(decoding: PackageResources.latency_gp, as: UTF8.self)
        let picture = try gnuplot.run(settings.joined() + script)
        withExtendedLifetime((table, distributions)) {}
        return picture
    }
}
