// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import Testing

@Suite struct DistributionTests {
    @Test func percentiles() {
        let times = Distribution((1...1000).map { UInt64($0 * 1000) })
        #expect(times.count == 1000)
        #expect((499_000...501_000).contains(times.median))
        #expect((989_000...991_000).contains(times.percentile(99)))
        #expect(times.csvFields.count == Distribution.csvHeading.count)
        // What is beyond an hour is counted as an hour.
        #expect(Distribution([UInt64.max]).count == 1)
    }

    /// The histogram counts in buckets; what is reported lies between the least and the greatest that was measured.
    @Test(arguments: [[1_000_003], [999_999_937], [1001, 1_234_567], [2047, 2049, 4_000_037]] as [[UInt64]])
    func noPercentileIsOutsideOfWhatWasMeasured(_ times: [UInt64]) {
        let distribution = Distribution(times)
        for percent in [0, 0.1, 50, 99, 99.9, 100] {
            #expect((times[0]...times[times.count - 1]).contains(distribution.percentile(percent)), "\(percent) %")
        }
        #expect(distribution.percentile(100) == times.last)
        #expect(times.count > 1 || distribution.median == times[0])
        #expect(Distribution([]).median == 0)
    }

    @Test func hgrmIsInMicroseconds() {
        let lines = Distribution([2000, 2000, 4000, 8000]).hgrm("four times").split(separator: "\n")
        #expect(lines.first == "# four times")
        let rows = lines.compactMap { line in
            let fields = line.split(separator: " ").compactMap { Double($0) }
            return fields.count >= 3 ? fields : nil
        }
        #expect(rows.first?[0].rounded() == 2 && rows.last?[0].rounded() == 8)
        #expect(rows.last?[1] == 1 && rows.last?[2] == 4)
        #expect(lines.last?.hasPrefix("#") == true)
    }
}
