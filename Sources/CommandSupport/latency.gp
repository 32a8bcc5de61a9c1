# SPDX-License-Identifier: Apache-2.0
# Draws the measurements of peermr bench registration and ping-pong as SVG. Gnuplot 5.4 or newer:
#   gnuplot -e "csv = 'cost.csv'" latency.gp > cost.svg
#   gnuplot -e "csv = 'sweep.csv'; hgrm = 'sweep.hgrm'" latency.gp > sweep.svg
# csv    a file written by --csv: latency over size, one panel for each call, cold and warm
# hgrm   a file written by --hgrm of ping-pong, optional: latency over percentile, one line for each row of csv
# title, subtitle   optional

if (!exists("title")) title = "Latency"
if (!exists("subtitle")) subtitle = ""
by_percentile = exists("hgrm")

# The columns' names.
set datafile separator "\001"
stats csv every ::0::0 using (header = ",".strcol(1).",", 0) nooutput
set datafile separator comma
set datafile columnheaders
set datafile missing NaN
has(name) = strstrt(header, ",".name.",") > 0
field(name) = has(name) ? strcol(name) : ""

unit(b) = b < 1024 ? gprintf("%g B", b) : b < 2**20 ? gprintf("%g KiB", b / 2**10) \
    : b < 2**30 ? gprintf("%g MiB", b / 2**20) : gprintf("%g GiB", b / 2**30)
# What a row belongs to: a line of a panel in a row of panels.
line_of(n) = (has("what") ? field("what").", " : "").field("memory") \
    .(field("method") eq "" ? "" : " (".field("method").")") \
    .(field("huge_pages") eq "true" ? ", huge pages" : "") \
    .(field("populated") eq "true" ? ", populated" : "") \
    .(field("registered_bytes") eq "" || field("registered_bytes") eq "0" ? "" \
        : gprintf(", %.4g MiB background", real(field("registered_bytes")) / 1048576)) \
    .(field("threads") eq "" || field("threads") eq "1" ? "" : ", ".field("threads")." threads")
panel_of(n) = has("call") ? field("call") : "round trip"
row_of(n) = has("temperature") ? field("temperature") : ""
is_ours(n) = !has("side") || field("side") eq "peermr"

# The lists of those, in the order of the file.
array block[1000]; array line[100]; array panel[10]; array row[10]; array size[100]
blocks = 0; lines = 0; panels = 0; rows = 0; sizes = 0; has_bare = 0
low = 1e18; high = 1; lowest = 1e18; highest = 1; most = 0
add_line(s) = (hit = 0, lines ? sum [i = 1:lines] (line[i] eq s ? (hit = i) : 0) : 0, \
    hit || lines == 100 ? 0 : (lines = lines + 1, line[lines] = s, 0))
add_panel(s) = (hit = 0, panels ? sum [i = 1:panels] (panel[i] eq s ? (hit = i) : 0) : 0, \
    hit || panels == 10 ? 0 : (panels = panels + 1, panel[panels] = s, 0))
add_row(s) = (hit = 0, rows ? sum [i = 1:rows] (row[i] eq s ? (hit = i) : 0) : 0, \
    hit || rows == 10 ? 0 : (rows = rows + 1, row[rows] = s, 0))
add_size(s) = (hit = 0, sizes ? sum [i = 1:sizes] (size[i] eq s ? (hit = i) : 0) : 0, \
    hit || sizes == 100 ? 0 : (sizes = sizes + 1, size[sizes] = s, 0))
note(n) = (low = column("p50_ns") < low ? column("p50_ns") : low, \
    high = column("p99_ns") > high ? column("p99_ns") : high, \
    lowest = column("min_ns") < lowest ? column("min_ns") : lowest, \
    most = column("samples") > most ? column("samples") : most, \
    highest = column("max_ns") > highest ? column("max_ns") : highest, !is_ours(0)) ? (has_bare = 1, 0) \
    : (by_percentile && blocks < 1000 ? (blocks = blocks + 1, \
        block[blocks] = (has("what") ? field("what").", " : "").unit(column("bytes"))) : 0, \
        add_line(line_of(0)), add_panel(panel_of(0)), add_row(row_of(0)), add_size(field("bytes")), 0)
stats csv using (note(0)) nooutput
if (!lines) { printerr "nothing was measured"; exit status 1 }

# Colors that most people can tell apart (Okabe and Ito).
size_low = 1e18; size_high = 1
do for [i = 1:sizes] {
    size_low = size[i] + 0 < size_low ? size[i] + 0 : size_low
    size_high = size[i] + 0 > size_high ? size[i] + 0 : size_high
}

array colors[8] = [0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0x56b4e9, 0xe69f00, 0x444444, 0x8c6d31]
color(n) = colors[(n - 1) % 8 + 1]
pale(n) = color(n) + 0x90000000
shape(n) = int(word("7 5 9 11 13 15", (n - 1) % 6 + 1))
seconds(name) = column(name) / 1e9
# Neighboring lines are drawn slightly beside each other.
place(n) = column("bytes") * 1.035 ** (n - (lines + 1) / 2.0)
here(n, p, r) = is_ours(0) && line_of(0) eq line[n] && panel_of(0) eq panel[p] && row_of(0) eq row[r]
bare(n, p, r) = !has_bare ? here(n, p, r) : field("side") eq "bare" && line_of(0) eq line[n] \
    && panel_of(0) eq panel[p] && row_of(0) eq row[r]

# One line alone leaves room for all percentiles.
array figure[5] = ["max_ns", "p999_ns", "p99_ns", "p50_ns", "min_ns"]
array figure_name[5] = ["maximum", "p99.9", "p99", "median", "minimum"]
alone = lines == 1
if (alone) { low = lowest; high = highest }

by_size = sizes > 1 || !by_percentile
across = (by_size ? panels : 0) + by_percentile
down = by_size ? rows : 1
panel_width = 500.0; panel_height = 380.0; head = 70.0
columns = alone ? 5 : 2
legend = by_size ? 20.0 * ((alone ? 1 : lines + 1) / columns + alone) + 46 : 20
width = across * panel_width + (by_percentile ? 130 : 0); height = head + down * panel_height + legend

set terminal svg size width, height noenhanced font "sans-serif,12" background rgb "white" name "peermr"
if (exists("svg")) set output svg
set encoding utf8
set multiplot
set label 1 title at screen 20 / width, 1 - 24 / height font ",18" front
set label 2 subtitle at screen 20 / width, 1 - 48 / height textcolor rgb "#57606a" front
set border 3 linecolor rgb "#57606a"
set tics nomirror
set grid xtics ytics linecolor rgb "#d8dee4" linetype 1
set logscale y
set micro
set format y "%.0s %cs"
if (high < 100 * low) {
    set ytics ()
    do for [k = -9:3] { do for [m in "1 2 5"] { set ytics add (gprintf("%.0s %cs", m * 10.0 ** k) m * 10.0 ** k) } }
}
left(i) = ((i - 1) * panel_width + 76) / width
right(i) = (i * panel_width - 20) / width
above(j) = 1 - (head + (j - 1) * panel_height + 30) / height
below(j) = 1 - (head + j * panel_height - 44) / height

if (by_size) {
    set logscale x 4
    set yrange [10 ** floor(log10(low / 1e9)):10 ** ceil(log10(high / 1e9))]
    set xrange [size_low / 1.6:size_high * 1.6]
    set xtics ()
    do for [i = 1:sizes:(sizes + 5) / 6] { set xtics add (unit(real(size[i])) size[i] + 0) }
    set key off
    do for [j = 1:rows] {
        do for [i = 1:panels] {
            set lmargin at screen left(i); set rmargin at screen right(i)
            set tmargin at screen above(j); set bmargin at screen below(j)
            set xlabel (j == rows ? "size" : "") offset 0, 0.5
            set title panel[i].(row[j] eq "" ? "" : ", ".row[j]) font ",13"
            if (alone) {
                plot for [k = 1:5] csv using (here(1, i, j) ? column("bytes") : NaN):(seconds(figure[k])) \
                    with linespoints linewidth (k == 4 ? 2.5 : 1) linecolor rgb color(k) \
                    pointtype 7 pointsize 0.3 notitle, \
                    csv using (bare(1, i, j) ? column("bytes") : NaN):(seconds("p50_ns")) \
                    with points pointtype (has_bare ? 6 : 0) pointsize 1.1 linewidth 1.2 linecolor rgb color(4) notitle
            } else {
                plot for [n = 1:lines] csv using (here(n, i, j) ? place(n) : NaN):(seconds("p50_ns")): \
                    (seconds("p50_ns")):(seconds("p99_ns")) \
                    with yerrorbars pointtype -1 linewidth 1.5 linecolor rgb pale(n) notitle, \
                    for [n = 1:lines] csv using (here(n, i, j) ? place(n) : NaN):(seconds("p50_ns")) \
                    with linespoints linewidth 2 linecolor rgb color(n) pointtype shape(n) pointsize 0.4 notitle, \
                    for [n = 1:lines] csv using (bare(n, i, j) ? place(n) : NaN):(seconds("p50_ns")) \
                    with points pointtype (has_bare ? 6 : 0) pointsize 1.1 linewidth 1.2 linecolor rgb color(n) \
                    notitle
            }
            unset label
        }
    }
}
if (by_percentile) {
    set lmargin at screen left(across); set rmargin at screen right(across) - 16 / width
    set tmargin at screen above(1); set bmargin at screen below(1)
    set datafile separator whitespace
    set datafile nocolumnheaders
    set logscale x 10
    unset format x
    set xtics ("50 %%" 2, "90 %%" 10, "99 %%" 100, "99.9 %%" 1000, "99.99 %%" 1e4, "99.999 %%" 1e5, \
        "99.9999 %%" 1e6)
    set xlabel "percentile" offset 0, 0.5
    set xrange [1:most < 5 ? 10 : 2 * most]
    set autoscale y
    set title "round trips by percentile"
    set key at screen right(across) - 4 / width, above(1) left top Left reverse samplen 2 width 1 invert
    plot for [n = 1:blocks] hgrm index n - 1 using 4:($1 / 1e6) with lines linewidth 1.5 \
        linecolor rgb hsv2rgb(blocks > 1 ? 0.68 * (blocks - n) / (blocks - 1.0) : 0.6, 0.9, 0.75) title block[n]
    unset label
}
if (by_size) {
    set lmargin at screen 0; set rmargin at screen 1
    set tmargin at screen legend / height; set bmargin at screen 0
    unset border; unset tics; unset title; unset xlabel; unset logscale; unset grid
    set key horizontal noinvert at graph 0.02, 1 left top Left reverse maxcols columns samplen 3 width 2
    set label 1 (alone ? "" : "Bars: from the median to the 99th percentile. ") \
        .(has_bare ? "Rings: medians of the bare calls." : "") \
        at graph 0.02, screen 16 / height textcolor rgb "#57606a"
    if (alone) {
        plot [0:1][0:1] NaN notitle, for [k = 1:5] keyentry with lines linewidth (k == 4 ? 2.5 : 1) \
            linecolor rgb color(k) title figure_name[k]
    } else {
        plot [0:1][0:1] NaN notitle, for [n = 1:lines] keyentry with linespoints linewidth 2 linecolor rgb color(n) \
            pointtype shape(n) pointsize 0.4 title line[n]
    }
}
unset multiplot
