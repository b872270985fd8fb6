//! A picture of who serves which slots, as SVG: a square of 128 by 128 cells, one for each slot, row by row; each shard has a
//! colour, and what a slot holds makes it darker.

use std::fmt::Write;
use std::ops::RangeInclusive;

/// A primary with its slots.
pub(crate) struct Shard {
    /// What it is called in the legend.
    pub(crate) name: String,
    pub(crate) slots: Vec<RangeInclusive<u16>>,
    /// The names of its replicas.
    pub(crate) replicas: Vec<String>,
}

/// What makes a slot darker.
pub(crate) struct Heat<'a> {
    /// Of what there is more or less: `keys`, `bytes`.
    pub(crate) unit: &'a str,
    /// One number for each of the 16384 slots.
    pub(crate) of_slot: &'a [u64],
}

const SLOTS: usize = 16384;
/// Slots in a row, and rows.
const SIDE: usize = 128;
/// The width of a slot, in pixels.
const CELL: usize = 5;
/// Left of the cells, for the number of the first slot of a row.
const LEFT: usize = 60;
const TOP: usize = 64;
/// Right of the cells.
const LEGEND: usize = 400;
/// A shard in the legend.
const ENTRY: usize = 56;
/// More replicas are counted only.
const NAMED: usize = 3;
/// How many shades there are of one colour.
const SHADES: u64 = 9;

/// Far from each other; more shards get hues by the golden angle.
const HUES: [f64; 8] = [210.0, 28.0, 140.0, 325.0, 265.0, 52.0, 180.0, 0.0];

/// The picture. A slot that no shard has is grey.
pub(crate) fn svg(title: &str, shards: &[Shard], heat: Option<Heat<'_>>) -> String {
    let cells = Cells::new(shards, heat.as_ref());
    let width = LEFT + SIDE * CELL + LEGEND;
    let height = TOP + (SIDE * CELL).max((shards.len() + 2) * ENTRY) + 24;
    let mut page = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"ui-sans-serif, system-ui, sans-serif\" font-size=\"13\" fill=\"#1f2933\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"34\" font-size=\"18\" font-weight=\"600\">{}</text>\n",
        escaped(title)
    );
    cells.draw(shards, heat.as_ref(), &mut page);
    legend(shards, &cells, heat.as_ref(), &mut page);
    page.push_str("</svg>\n");
    page
}

/// What each slot looks like.
struct Cells {
    /// The place of the shard, and the shade.
    looks: Vec<(Option<usize>, u64)>,
    most: u64,
}

impl Cells {
    fn new(shards: &[Shard], heat: Option<&Heat<'_>>) -> Self {
        let mut looks = vec![(None, shade_without_heat()); SLOTS];
        for (place, shard) in shards.iter().enumerate() {
            for slot in shard.slots.iter().cloned().flatten() {
                if let Some(look) = looks.get_mut(usize::from(slot)) {
                    look.0 = Some(place);
                }
            }
        }
        let most = heat.and_then(|heat| heat.of_slot.iter().max().copied()).unwrap_or(0);
        for (look, amount) in looks.iter_mut().zip(heat.map_or(&[][..], |heat| heat.of_slot)) {
            look.1 = shade(*amount, most);
        }
        Self { looks, most }
    }

    /// Slots that look alike and follow each other in a row are one rectangle.
    fn draw(&self, shards: &[Shard], heat: Option<&Heat<'_>>, page: &mut String) {
        page.push_str("<g shape-rendering=\"crispEdges\">\n");
        let mut first = 0;
        for (row, looks) in self.looks.chunks(SIDE).enumerate() {
            for run in looks.chunk_by(|one, other| one == other) {
                let (x, y) = (LEFT + first % SIDE * CELL, TOP + row * CELL);
                let last = first + run.len() - 1;
                let Some((owner, shade)) = run.first() else { continue };
                let name = owner.and_then(|place| shards.get(place)).map_or("nobody", |shard| &shard.name);
                let mut tip =
                    if first == last { format!("slot {first}") } else { format!("slots {first}-{last}") };
                tip += &format!(": {}", escaped(name));
                if let Some(heat) = heat {
                    let amount: u64 = heat.of_slot.iter().skip(first).take(run.len()).sum();
                    tip += &format!(", {amount} {}", escaped(heat.unit));
                }
                line(
                    page,
                    format_args!(
                        "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{CELL}\" fill=\"{}\"><title>{tip}</title></rect>",
                        run.len() * CELL,
                        colour(*owner, *shade)
                    ),
                );
                first = last + 1;
            }
            if row % 16 == 0 {
                let (x, y) = (LEFT - 8, TOP + row * CELL + 10);
                line(
                    page,
                    format_args!(
                        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\" font-size=\"11\" fill=\"#616e7c\">{}</text>",
                        row * SIDE
                    ),
                );
            }
        }
        page.push_str("</g>\n");
    }
}

fn legend(shards: &[Shard], cells: &Cells, heat: Option<&Heat<'_>>, page: &mut String) {
    let x = LEFT + SIDE * CELL + 24;
    let mut y = TOP + 12;
    let places = (0..shards.len()).map(Some).chain([None]);
    for place in places {
        let own = || cells.looks.iter().enumerate().filter(move |(_, look)| look.0 == place);
        let count = own().count();
        let shard = place.and_then(|place| shards.get(place));
        if shard.is_none() && count == 0 {
            continue;
        }
        let mut facts = format!("{count} slots ({:.1} %)", 100.0 * count as f64 / SLOTS as f64);
        if let Some(heat) = heat {
            let amount: u64 = own().filter_map(|(slot, _)| heat.of_slot.get(slot)).sum();
            facts += &format!(", {amount} {}", escaped(heat.unit));
        }
        let name = escaped(shard.map_or("nobody", |shard| &shard.name));
        let fill = colour(place, shade_without_heat());
        line(
            page,
            format_args!("<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"14\" fill=\"{fill}\"/>", y - 11),
        );
        let text = x + 24;
        line(page, format_args!("<text x=\"{text}\" y=\"{y}\" font-weight=\"600\">{name}</text>"));
        line(
            page,
            format_args!(
                "<text x=\"{text}\" y=\"{}\" font-size=\"11\" fill=\"#616e7c\">{facts}</text>",
                y + 16
            ),
        );
        let replicas = shard.map_or(&[][..], |shard| &shard.replicas);
        if !replicas.is_empty() {
            let mut names = replicas.iter().take(NAMED).cloned().collect::<Vec<String>>().join(", ");
            if replicas.len() > NAMED {
                names += &format!(" and {} more", replicas.len() - NAMED);
            }
            let names = escaped(&names);
            let at = y + 30;
            line(
                page,
                format_args!(
                    "<text x=\"{text}\" y=\"{at}\" font-size=\"11\" fill=\"#616e7c\">replicas {names}</text>"
                ),
            );
        }
        y += ENTRY;
    }
    if let Some(heat) = heat {
        for shade in 0..SHADES {
            let at = x + usize::try_from(shade).unwrap_or(0) * 20;
            let fill = colour(Some(0), shade);
            line(
                page,
                format_args!("<rect x=\"{at}\" y=\"{y}\" width=\"20\" height=\"14\" fill=\"{fill}\"/>"),
            );
        }
        line(
            page,
            format_args!(
                "<text x=\"{x}\" y=\"{}\" font-size=\"11\" fill=\"#616e7c\">{} of a slot: from 0 to {}, by the logarithm</text>",
                y + 30,
                escaped(heat.unit),
                cells.most
            ),
        );
    }
}

/// Writing to a `String` cannot fail.
fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _infallible = writeln!(page, "{text}");
}

/// By the logarithm: one slot with a million keys must not make all others look empty. Only an empty slot has the first.
fn shade(amount: u64, most: u64) -> u64 {
    if amount == 0 || most == 0 {
        return 0;
    }
    let part = (amount as f64).ln_1p() / (most as f64).ln_1p();
    ((part * (SHADES - 1) as f64).round() as u64).clamp(1, SHADES - 1)
}

const fn shade_without_heat() -> u64 {
    SHADES / 2 + 1
}

/// `#rrggbb`.
fn colour(owner: Option<usize>, shade: u64) -> String {
    let Some(place) = owner else { return "#d5d9de".to_owned() };
    let hue = HUES.get(place).copied().unwrap_or_else(|| (place as f64 * 137.508) % 360.0);
    let lightness = 0.93 - 0.68 * shade as f64 / (SHADES - 1) as f64;
    let strength = 0.62 * lightness.min(1.0 - lightness);
    let part = |offset: f64| {
        let turn = (offset + hue / 30.0) % 12.0;
        let value = lightness - strength * (turn - 3.0).min(9.0 - turn).clamp(-1.0, 1.0);
        (value * 255.0).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", part(0.0), part(8.0), part(4.0))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
