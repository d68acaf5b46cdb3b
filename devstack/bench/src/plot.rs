//! A plot of latency by percentile as SVG. Both axes are logarithmic, because the high
//! percentiles matter most.

use std::fmt::Write as _;

use crate::load::Measurement;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 60.0;
/// Right end of the plot: one call in ten thousand is slower.
const RAREST: f64 = 1e-4;
const COLOURS: [&str; 4] = ["#8aa4b8", "#1f5f8b", "#e0a96d", "#b3541e"];

/// Plots one curve for each measurement.
pub fn latencies(curves: &[(&str, Measurement)]) -> String {
    let values = |percentile: f64| curves.iter().map(move |(_, m)| m.percentile(percentile));
    let lowest = values(1.0).fold(f64::MAX, f64::min).max(0.01);
    let highest = values(100.0 * (1.0 - RAREST)).fold(lowest * 2.0, f64::max);
    let (bottom, top) = (lowest.log10().floor(), highest.log10().ceil());
    let x = |beyond: f64| LEFT + (WIDTH - LEFT - RIGHT) * (beyond.log10() / RAREST.log10());
    let y = |ms: f64| {
        let share = ((ms.max(1e-3).log10() - bottom) / (top - bottom).max(1.0)).max(0.0);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Latency of GetAccessToken by percentile</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    let mut line = |x1: f64, y1: f64, x2: f64, y2: f64| {
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>"
        );
    };
    let columns = [
        (1.0, "0"),
        (0.5, "50"),
        (0.1, "90"),
        (0.01, "99"),
        (1e-3, "99.9"),
        (RAREST, "99.99"),
    ];
    for (beyond, _) in columns {
        line(x(beyond), TOP, x(beyond), HEIGHT - BOTTOM);
    }
    let mut rows = Vec::new();
    let mut power = bottom;
    while power <= top {
        rows.push(10_f64.powf(power));
        power += 1.0;
    }
    for ms in &rows {
        line(LEFT, y(*ms), WIDTH - RIGHT, y(*ms));
    }
    for (beyond, name) in columns {
        text(&mut svg, x(beyond), HEIGHT - BOTTOM + 18.0, "middle", name);
    }
    for ms in rows {
        text(&mut svg, LEFT - 8.0, y(ms) + 4.0, "end", &format!("{ms}"));
    }
    text(
        &mut svg,
        WIDTH / 2.0,
        HEIGHT - 22.0,
        "middle",
        "percentile of calls",
    );
    text(&mut svg, 8.0, 18.0, "start", "ms");
    for (number, ((name, measured), colour)) in curves.iter().zip(COLOURS).enumerate() {
        let mut points = String::new();
        let mut beyond = 1.0;
        while beyond >= RAREST {
            let ms = measured.percentile(100.0 * (1.0 - beyond));
            let _ = write!(points, "{:.1},{:.1} ", x(beyond), y(ms));
            beyond *= 0.9;
        }
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            points.trim_end()
        );
        #[expect(clippy::cast_precision_loss, reason = "four of them")]
        let row = TOP + 16.0 + 18.0 * number as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"14\" height=\"4\" fill=\"{colour}\"/>",
            LEFT + 14.0,
            row - 6.0
        );
        text(&mut svg, LEFT + 34.0, row, "start", name);
    }
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#333\">{words}</text>"
    );
}
