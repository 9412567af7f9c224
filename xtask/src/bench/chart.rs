//! The rows as bars: images per second, a group for each network and batch, a bar for each device.

use super::row::Numbers;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

const WIDTH: u32 = 1200;
const PANEL: u32 = 400;
/// Okabe and Ito's colours: told apart by the colour-blind, too.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
];
const INK: RGBColor = RGBColor(60, 60, 60);

/// The chart as PNG.
///
/// # Errors
/// If the drawing fails.
pub fn png(rows: &[Numbers]) -> Result<Vec<u8>> {
    let (width, height) = size(rows);
    let mut pixels = vec![0; (width * height * 3) as usize];
    draw(BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area(), rows)?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(bytes)
}

/// The chart as SVG.
///
/// # Errors
/// If the drawing fails.
pub fn svg(rows: &[Numbers]) -> Result<String> {
    let mut text = String::new();
    draw(SVGBackend::with_string(&mut text, size(rows)).into_drawing_area(), rows)?;
    Ok(text)
}

fn size(rows: &[Numbers]) -> (u32, u32) {
    (WIDTH, PANEL * panels(rows).len().max(1) as u32)
}

/// Title and rows of each mode that was measured.
fn panels(rows: &[Numbers]) -> Vec<(&'static str, Vec<&Numbers>)> {
    let modes = [("infer", "Forward pass"), ("train", "Training step")];
    let of = |(mode, title)| (title, rows.iter().filter(|r| r.mode == mode).collect::<Vec<_>>());
    modes.map(of).into_iter().filter(|(_, rows)| !rows.is_empty()).collect()
}

fn unique<'a, T: PartialEq + 'a>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

fn draw<B: DrawingBackend>(root: DrawingArea<B, Shift>, rows: &[Numbers]) -> Result<()>
where
    B::ErrorType: 'static,
{
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| anyhow!("the font can't be read"))?;
    root.fill(&WHITE)?;
    let panels = panels(rows);
    let devices = unique(rows.iter().map(|r| r.device.as_str()));
    for (area, (title, rows)) in root.split_evenly((panels.len().max(1), 1)).iter().zip(&panels) {
        panel(area, title, rows, &devices)?;
    }
    root.present()?;
    Ok(())
}

fn panel<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    rows: &[&Numbers],
    devices: &[&str],
) -> Result<()>
where
    B::ErrorType: 'static,
{
    let groups = unique(rows.iter().map(|r| (r.model.as_str(), r.batch)));
    let speeds = || rows.iter().filter_map(|r| r.images_per_second);
    // Whole powers of ten around all bars, so that the shortest still is one.
    let low = 10f64.powf(speeds().fold(f64::INFINITY, f64::min).min(1e6).log10().floor() - 0.3);
    let high = 10f64.powf(speeds().fold(1.0, f64::max).log10() + 0.35);
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("{title}: images per second (a tenfold step between lines)"),
            ("sans-serif", 21).with_color(INK),
        )
        .margin(12)
        .margin_right(20)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..groups.len() as f64, (low..high).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_label_formatter(&|y| short(*y))
        .y_labels(8)
        .max_light_lines(0)
        .label_style(("sans-serif", 14).with_color(INK))
        .axis_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()?;
    let width = 0.84 / devices.len().max(1) as f64;
    let left = |g: usize, d: usize| g as f64 + 0.08 + d as f64 * width;
    let mut labels = Vec::new();
    for (d, device) in devices.iter().enumerate() {
        let colour = COLOURS[d % COLOURS.len()];
        let mut bars = Vec::new();
        for (g, group) in groups.iter().enumerate() {
            let Some(row) = rows.iter().find(|r| (r.model.as_str(), r.batch) == *group && r.device == *device) else {
                continue;
            };
            let (from, to) = (left(g, d) + 0.015, left(g, d) + width - 0.015);
            let top = row.images_per_second.unwrap_or(low);
            labels.push(((from + to) / 2.0, top, row.images_per_second.map_or_else(|| "not run".into(), short)));
            if row.images_per_second.is_some() {
                bars.push(Rectangle::new([(from, low), (to, top)], colour.filled()));
            }
        }
        chart
            .draw_series(bars)?
            .label(*device)
            .legend(move |(x, y)| Rectangle::new([(x, y - 6), (x + 13, y + 6)], colour.filled()));
    }
    let style = ("sans-serif", 12).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Bottom));
    chart.draw_series(labels.iter().map(|(x, y, text)| Text::new(text.clone(), (*x, y * 1.04), style.clone())))?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font(("sans-serif", 14).with_color(INK))
        .background_style(WHITE.mix(0.9))
        .border_style(WHITE)
        .draw()?;
    // Below the axis: network and batch.
    let style = ("sans-serif", 15).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Top));
    let small = ("sans-serif", 13).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Top));
    let plot = chart.plotting_area();
    let (dx, dy) = area.get_base_pixel();
    for (g, (model, batch)) in groups.iter().enumerate() {
        let (x, y) = plot.map_coordinate(&(g as f64 + 0.5, low));
        area.draw_text(model, &style, (x - dx, y - dy + 7))?;
        area.draw_text(&format!("batch {batch}"), &small, (x - dx, y - dy + 25))?;
    }
    Ok(())
}

/// `0.35`, `1`, `7.2`, `41`, `1300`, `48 k`.
fn short(x: f64) -> String {
    match x {
        _ if x < 1.0 => format!("{x:.2}"),
        _ if (x - x.round()).abs() < 1e-9 && x < 10_000.0 => format!("{x:.0}"),
        _ if x < 10.0 => format!("{x:.1}"),
        _ if x < 10_000.0 => format!("{x:.0}"),
        _ => format!("{:.0} k", x / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::sample;
    use super::*;

    #[test]
    fn any_rows_make_a_picture() {
        let row = |mode, device, ms| sample("alexnet", mode, 8, device, ms, 0.0);
        let all = [row("infer", "flex", Some(100.0)), row("infer", "wgpu:cpu", None), row("train", "flex", Some(0.01))];
        for (rows, panels) in [(&all[..0], 1), (&all[..2], 1), (&all[1..2], 1), (&all[..], 2)] {
            let bytes = png(rows).unwrap();
            let info = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap().info().size();
            assert_eq!(info, (WIDTH, PANEL * panels));
        }
        let svg = svg(&all).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("wgpu:cpu") && svg.contains("not run"));
    }

    #[test]
    fn numbers_stay_short() {
        assert_eq!([0.346, 1.0, 7.24, 41.0, 1299.6, 48_211.0].map(short), ["0.35", "1", "7.2", "41", "1300", "48 k"]);
    }
}
