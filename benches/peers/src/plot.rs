//! The plot: CPU for each operation by client and workload, as SVG. Logarithmic, because workloads differ a hundredfold.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color, DrawingArea, IntoDrawingArea, IntoLogRange, RGBColor, Rectangle, SVGBackend, Text,
    WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{IntoTextStyle, TextStyle};

use crate::adapter::Result;
use crate::one::RUNTIMES;
use crate::row::Row;
use crate::table::Line;
use crate::workload::ALL;

const WIDTH: u32 = 1500;
const HEIGHT: u32 = 480;
/// The title and the legend.
const HEAD: i32 = 64;
const LEFT: i32 = 70;
/// Of a workload's place, how much its bars take.
const BARS: f64 = 0.84;
const LOWEST: f64 = 0.1;

/// Colours that can be told apart by all readers; keyslot's is the strongest, the reference points are grey.
const COLOURS: &[(&str, RGBColor)] = &[
    ("keyslot", RGBColor(213, 43, 30)),
    ("redis", RGBColor(0, 114, 178)),
    ("fred", RGBColor(230, 159, 0)),
    ("fred-pool", RGBColor(240, 205, 120)),
    ("rustis", RGBColor(0, 158, 115)),
    ("glide", RGBColor(204, 121, 167)),
    ("floor", RGBColor(90, 90, 90)),
    ("redis-benchmark", RGBColor(170, 170, 170)),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A panel for each runtime that has rows.
pub(crate) fn write(path: &Path, rows: &[Row]) -> Result<()> {
    let runtimes: Vec<&str> =
        RUNTIMES.iter().copied().filter(|runtime| rows.iter().any(|row| row.runtime == *runtime)).collect();
    if runtimes.is_empty() {
        return Ok(());
    }
    let root = SVGBackend::new(path, (WIDTH, HEIGHT * runtimes.len() as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, runtime) in root.split_evenly((runtimes.len(), 1)).iter().zip(runtimes) {
        panel(area, rows, runtime)?;
    }
    Ok(root.present()?)
}

/// One workload with the CPU of each client.
struct Group<'a> {
    name: &'static str,
    bars: Vec<(&'a str, f64)>,
}

fn panel(area: &Area<'_>, rows: &[Row], runtime: &str) -> Result<()> {
    let groups = ALL.iter().map(|workload| {
        let lines = Line::all(rows, workload.name, runtime);
        let bars = lines.iter().map(|line| (line.client, line.median(|row| row.cpu)));
        Group { name: workload.name, bars: bars.filter(|(_, cpu)| cpu.is_finite()).collect() }
    });
    let groups: Vec<Group<'_>> = groups.filter(|group| !group.bars.is_empty()).collect();
    let highest = groups.iter().flat_map(|group| &group.bars).map(|(_, cpu)| *cpu).fold(1.0, f64::max) * 1.5;

    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_top(HEAD)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..groups.len() as f64, (LOWEST..highest).log_scale())?;
    chart.configure_mesh().disable_x_mesh().x_labels(0).y_label_formatter(&|cpu| format!("{cpu}")).draw()?;

    let centred = text(13).pos(Pos::new(HPos::Center, VPos::Top));
    for (place, group) in groups.iter().enumerate() {
        let width = BARS / group.bars.len() as f64;
        for (number, (client, cpu)) in group.bars.iter().enumerate() {
            let left = place as f64 + (1.0 - BARS) / 2.0 + width * number as f64;
            let corners = [(left, LOWEST), (left + width * 0.94, cpu.max(LOWEST))];
            chart.draw_series([Rectangle::new(corners, colour(client).filled())])?;
        }
        // Below the axis, where the chart itself draws nothing but numbers.
        let (x, y) = chart.backend_coord(&(place as f64 + 0.5, LOWEST));
        let (left, top) = area.get_base_pixel();
        area.draw(&Text::new(group.name, (x - left, y - top + 8), &centred))?;
    }
    let title = format!("Client CPU for each operation, {runtime} runtime: microseconds, lower is better");
    area.draw(&Text::new(title, (LEFT, 10), text(18)))?;
    legend(area, &groups)
}

/// In one line, where no bar can be.
fn legend(area: &Area<'_>, groups: &[Group<'_>]) -> Result<()> {
    let shown = |client: &str| groups.iter().flat_map(|group| &group.bars).any(|(name, _)| *name == client);
    for (number, (client, colour)) in COLOURS.iter().filter(|(client, _)| shown(client)).enumerate() {
        let (x, y) = (LEFT + 140 * number as i32, 38);
        area.draw(&Rectangle::new([(x, y), (x + 12, y + 12)], colour.filled()))?;
        area.draw(&Text::new(*client, (x + 18, y), text(13)))?;
    }
    Ok(())
}

fn text(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_text_style(&(WIDTH, HEIGHT))
}

fn colour(client: &str) -> RGBColor {
    COLOURS.iter().find(|(name, _)| *name == client).map_or(RGBColor(0, 0, 0), |(_, colour)| *colour)
}
