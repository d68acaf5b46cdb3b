//! A dashboard and the values of a run as a picture.

use latchkey_checks::dashboards::{Dashboard, Panel, Place, Threshold};

use super::format::{legend, value};
use super::monitor::Series;
use super::svg::{Anchor, Svg};

const COLUMN: f64 = 46.0;
const ROW: f64 = 30.0;
const GAP: f64 = 6.0;
/// Height of the title of the picture.
const HEAD: f64 = 40.0;
const DARK: &str = "#24292e";
const GREY: &str = "#6b7280";
const COLOURS: [&str; 8] = [
    "#3f8f4f", "#d8a000", "#3b78b8", "#d9662b", "#c0392b", "#7d5aa6", "#4fa3a5", "#8c6d46",
];
/// Most names that a panel has room for.
const NAMES: usize = 9;

/// The values of the queries of a panel, in their order.
pub(super) type Values = Vec<Vec<Series>>;

/// Draws a dashboard. `values` has those of each panel, in the order of the panels; `time` is the
/// first and the last second.
pub(super) fn draw(dashboard: &Dashboard, values: &[Values], time: (f64, f64)) -> String {
    let rows = dashboard.panels.iter().map(|panel| panel.grid_pos);
    let rows = rows.map(|place| place.y + place.h).max().unwrap_or(0);
    let (width, height) = (24.0 * COLUMN, HEAD + f64::from(rows) * ROW);
    let mut svg = Svg::new(width, height, &dashboard.title);
    svg.text((GAP, 26.0), 18, Anchor::Start, DARK, &dashboard.title);
    let minutes = format!("{} of a run", value("s", time.1 - time.0));
    svg.text((width - GAP, 26.0), 12, Anchor::End, GREY, &minutes);
    for (panel, values) in dashboard.panels.iter().zip(values) {
        let area = Area::of(panel.grid_pos);
        if panel.kind == "row" {
            svg.text(
                (area.x, area.y + 19.0),
                14,
                Anchor::Start,
                DARK,
                &panel.title,
            );
            continue;
        }
        let named = named(panel, values);
        if panel.kind == "stat" {
            stat(&mut svg, panel, &area, &named);
            continue;
        }
        svg.rectangle((area.x, area.y), (area.w, area.h), "#fff");
        let title = (area.x + 8.0, area.y + 17.0);
        svg.text(title, 12, Anchor::Start, DARK, &panel.title);
        if panel.kind == "table" {
            table(&mut svg, &area, values);
        } else {
            chart(&mut svg, panel, &area, &named, time);
        }
    }
    svg.finish()
}

/// The place of a panel in the picture.
#[derive(Debug, Clone, Copy)]
struct Area {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

impl Area {
    fn of(place: Place) -> Self {
        Self {
            x: f64::from(place.x) * COLUMN + GAP / 2.0,
            y: HEAD + f64::from(place.y) * ROW + GAP / 2.0,
            w: f64::from(place.w) * COLUMN - GAP,
            h: f64::from(place.h) * ROW - GAP,
        }
    }
}

/// The series of all queries of a panel with their names.
fn named<'a>(panel: &Panel, values: &'a [Vec<Series>]) -> Vec<(String, &'a Series)> {
    let queries = panel.targets.iter().zip(values);
    let series = queries.flat_map(|(target, found)| {
        let name = move |one: &Series| legend(&target.legend, &one.labels);
        found.iter().map(move |one| (name(one), one))
    });
    series.collect()
}

fn stat(svg: &mut Svg, panel: &Panel, area: &Area, named: &[(String, &Series)]) {
    svg.rectangle((area.x, area.y), (area.w, area.h), "#fff");
    let shown: Vec<_> = named
        .iter()
        .filter_map(|(name, series)| Some((name, series.last()?)))
        .collect();
    let columns = f64::from(u32::try_from(shown.len().max(1)).unwrap_or(1));
    let width = area.w / columns;
    let mut x = area.x;
    for (name, number) in &shown {
        let colour = colour_of(&panel.thresholds(), *number);
        svg.rectangle((x, area.y), (width - 2.0, area.h), colour);
        let middle = x + width / 2.0;
        let text = value(panel.unit(), *number);
        let y = area.y + area.h * 0.68;
        svg.text((middle, y), 24, Anchor::Middle, "#fff", &text);
        let y = area.y + area.h - 8.0;
        svg.text((middle, y), 10, Anchor::Middle, "#fff", name);
        x += width;
    }
    let colour = if shown.is_empty() { DARK } else { "#fff" };
    let title = (area.x + 8.0, area.y + 16.0);
    svg.text(title, 11, Anchor::Start, colour, &panel.title);
}

/// The colour of the last threshold that a value has reached.
fn colour_of(thresholds: &[Threshold], value: f64) -> &'static str {
    let mut reached = thresholds.iter().rev();
    let reached = reached.find(|step| step.value.is_none_or(|from| value >= from));
    match reached.map(|step| step.color.as_str()) {
        Some("red") => "#c0392b",
        Some("orange") => "#d9822b",
        _ => "#3f8f4f",
    }
}

fn table(svg: &mut Svg, area: &Area, values: &[Vec<Series>]) {
    let mut y = area.y + 38.0;
    for series in values.iter().flatten() {
        let cells: Vec<_> = series.labels.values().map(String::as_str).collect();
        svg.text(
            (area.x + 8.0, y),
            11,
            Anchor::Start,
            GREY,
            &cells.join("   "),
        );
        y += 16.0;
    }
}

fn chart(
    svg: &mut Svg,
    panel: &Panel,
    area: &Area,
    named: &[(String, &Series)],
    (begin, end): (f64, f64),
) {
    let named: Vec<_> = named
        .iter()
        .filter(|(_, series)| series.last().is_some())
        .collect();
    let lines = f64::from(u32::try_from(named.len().min(NAMES).div_ceil(3)).unwrap_or(1));
    let (left, right) = (area.x + 58.0, area.x + area.w - 10.0);
    let (top, bottom) = (area.y + 28.0, area.y + area.h - 14.0 - lines * 14.0);
    let points = named.iter().flat_map(|(_, series)| &series.points);
    let finite = points
        .map(|(_, value)| *value)
        .filter(|value| value.is_finite());
    let highest = finite.fold(0.0, f64::max);
    let highest = if highest > 0.0 { highest * 1.05 } else { 1.0 };
    let x = |time: f64| left + (right - left) * (time - begin) / (end - begin).max(1.0);
    let y = |value: f64| bottom - (bottom - top) * value / highest;
    for share in [0.0, 0.5, 1.0] {
        let height = y(highest * share);
        svg.line((left, height), (right, height), "#e5e7eb");
        let text = value(panel.unit(), highest * share);
        svg.text((left - 4.0, height + 3.0), 9, Anchor::End, GREY, &text);
    }
    for (number, (name, series)) in named.iter().enumerate() {
        let colour = COLOURS.get(number % COLOURS.len()).copied().unwrap_or(DARK);
        let is_number = |point: &&(f64, f64)| point.1.is_finite();
        let points = series.points.iter().filter(is_number);
        let points: Vec<_> = points.map(|(time, value)| (x(*time), y(*value))).collect();
        svg.curve(&points, colour);
        if number < NAMES {
            let place = u32::try_from(number).unwrap_or(0);
            let column = f64::from(place % 3) * (area.w - 12.0) / 3.0;
            let row = f64::from(place / 3) * 14.0;
            let (x, y) = (area.x + 8.0 + column, bottom + 18.0 + row);
            svg.rectangle((x, y - 4.0), (8.0, 3.0), colour);
            svg.text((x + 11.0, y), 9, Anchor::Start, GREY, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_picture_has_every_title_and_the_newest_values() {
        let dashboard = Dashboard::read("overview").unwrap();
        let series = Series {
            labels: BTreeMap::from([("job".to_owned(), "latchkey/auth-svc".to_owned())]),
            points: vec![(0.0, 1.0), (30.0, 17.0), (60.0, f64::NAN)],
        };
        let values = |panel: &Panel| vec![vec![series.clone()]; panel.targets.len()];
        let values: Vec<_> = dashboard.panels.iter().map(values).collect();
        let svg = draw(&dashboard, &values, (0.0, 60.0));
        for panel in &dashboard.panels {
            assert!(
                svg.contains(&format!(">{}</text>", panel.title)),
                "{}",
                panel.title
            );
        }
        assert!(svg.contains(">17</text>"), "{svg}");
        assert!(svg.contains(">latchkey/auth-svc</text>"), "{svg}");
        assert!(!svg.contains("NaN"));
    }
}
