struct HistogramPicture { init(_ r: Run) {} ; var svg: String { "" } }
struct SweepPicture { init(_ r: [Run]) {} ; var svg: String { "" } }
