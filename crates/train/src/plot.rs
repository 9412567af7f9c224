//! `curves.png`: training loss and validation error, epoch by epoch; of one run, or of several.

use crate::checkpoint::Epoch;
use anyhow::Result;
use infer::picture::{Area, Picture};
use plotters::coord::combinators::{BindKeyPoints, LogCoord, WithKeyPoints};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

const SIZE: (usize, usize) = (960, 400);
/// Okabe and Ito's colours but the yellow, too light for a line: told apart by the colour-blind, too.
pub const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];
/// Height of a line that names a run.
const LEGEND: usize = 22;

/// A curve: colour, and (epoch, value) by epoch.
type Curve = (RGBColor, Vec<(f64, f64)>);

/// The picture of one run as PNG.
///
/// # Errors
/// If the drawing fails.
pub fn curves(title: &str, history: &[Epoch]) -> Result<Vec<u8>> {
    let series = |f: fn(&Epoch) -> Option<f64>, colour| vec![(colour, points(history, f))];
    picture(title, &[], &series(|e| Some(e.loss), COLOURS[0]), &series(percent, COLOURS[1]))
}

/// The picture of several runs as PNG, each under its name; those beyond the seventh are left out.
///
/// # Errors
/// If the drawing fails.
pub fn compared(runs: &[(String, Vec<Epoch>)]) -> Result<Vec<u8>> {
    let series = |f: fn(&Epoch) -> Option<f64>| -> Vec<Curve> {
        COLOURS.iter().zip(runs).map(|(colour, (_, history))| (*colour, points(history, f))).collect()
    };
    let names: Vec<_> = COLOURS.iter().zip(runs).map(|(colour, (name, _))| (*colour, name.as_str())).collect();
    picture("", &names, &series(|e| Some(e.loss)), &series(percent))
}

fn percent(epoch: &Epoch) -> Option<f64> {
    epoch.validation_error.map(|v| 100.0 * v)
}

fn points(history: &[Epoch], value: fn(&Epoch) -> Option<f64>) -> Vec<(f64, f64)> {
    history.iter().filter_map(|e| Some((e.epoch as f64, value(e)?))).collect()
}

fn picture(title: &str, names: &[(RGBColor, &str)], loss: &[Curve], error: &[Curve]) -> Result<Vec<u8>> {
    let picture = Picture::draw(SIZE.0, SIZE.1 + LEGEND * names.len(), |root| {
        for (i, (colour, name)) in names.iter().enumerate() {
            let y = (16 + LEGEND * i) as i32;
            root.draw(&PathElement::new([(24, y), (54, y)], colour.stroke_width(3)))?;
            root.draw(&Text::new(*name, (62, y - 9), ("sans-serif", 16)))?;
        }
        let root = root.margin((10 + LEGEND * names.len()) as i32, 8, 0, 12);
        let root = if title.is_empty() { root } else { root.titled(title, ("sans-serif", 20))? };
        if error.iter().all(|(_, points)| points.is_empty()) {
            panel(&root, "training loss", loss)?;
        } else {
            let (left, right) = root.split_horizontally(SIZE.0 as u32 / 2 - 4);
            panel(&left, "training loss", loss)?;
            panel(&right, "validation error, %", error)?;
        }
        Ok(())
    })?;
    picture.png()
}

fn panel(area: &Area<'_>, title: &str, curves: &[Curve]) -> Result<()> {
    let last = curves.iter().filter_map(|(_, points)| points.last()).map(|p| p.0).fold(1.0, f64::max);
    // Losses fall by orders of magnitude: a logarithmic scale keeps the end readable.
    let positive = || curves.iter().flat_map(|(_, points)| points).map(|p| p.1).filter(|y| *y > 0.0);
    let low = positive().fold(f64::INFINITY, f64::min).min(1.0) * 0.8;
    let high = positive().fold(low, f64::max) * 1.25;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 17))
        .margin(6)
        .x_label_area_size(38)
        .y_label_area_size(56)
        .build_cartesian_2d(0.5..last + 0.5, (low..high).log_scale().with_key_points(ticks(low, high)))?;
    mesh(&mut chart, last)?;
    let floor = |&(x, y): &(f64, f64)| (x, y.max(low));
    for (colour, points) in curves {
        chart.draw_series(LineSeries::new(points.iter().map(floor), colour.stroke_width(2)))?;
        // Dots for few epochs only: of many they would make a band.
        let dots = if last <= 50.0 { points.as_slice() } else { &[] };
        chart.draw_series(dots.iter().map(|p| Circle::new(floor(p), 3, colour.filled())))?;
    }
    Ok(())
}

/// Round values from `low` to `high`: 1, 2 and 5 of each power of ten; where that leaves fewer than four, 1 to 9.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let powers = low.log10().floor() as i32..=high.log10().floor() as i32;
    let of = |steps: &[f64]| -> Vec<f64> {
        let all = powers.clone().flat_map(|p| steps.iter().map(move |s| s * 10f64.powi(p)));
        all.filter(|y| (low..=high).contains(y)).collect()
    };
    let few = of(&[1.0, 2.0, 5.0]);
    if few.len() < 4 { of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]) } else { few }
}

type LogChart<'a, 'b> = ChartContext<'a, BitMapBackend<'b>, Cartesian2d<RangedCoordf64, WithKeyPoints<LogCoord<f64>>>>;

fn mesh(chart: &mut LogChart<'_, '_>, last: f64) -> Result<()> {
    let label = |y: &f64| if *y >= 10.0 { format!("{y:.0}") } else { format!("{}", (y * 1e4).round() / 1e4) };
    chart
        .configure_mesh()
        .max_light_lines(1)
        .x_desc("epoch")
        .x_labels(usize::min(last as usize + 2, 12))
        .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() })
        .y_label_formatter(&label)
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 15))
        .light_line_style(RGBColor(235, 235, 235))
        .bold_line_style(RGBColor(210, 210, 210))
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enough_to_read_by() {
        assert_eq!(ticks(0.9, 120.0), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(ticks(1.8, 4.2), [2.0, 3.0, 4.0]);
    }

    #[test]
    fn a_picture_of_any_run_is_a_png() {
        let epoch = |epoch, loss, validation_error| Epoch {
            epoch,
            loss,
            validation_error,
            rate: 0.1,
            images_per_second: 1.0,
            seconds: 1.0,
        };
        for history in [vec![], vec![epoch(1, 0.0, None)], vec![epoch(1, 2.0, Some(0.5)), epoch(2, 0.1, Some(0.0))]] {
            let size = |png: &[u8]| {
                let image = image::load_from_memory(png).unwrap();
                (image.width() as usize, image.height() as usize)
            };
            assert_eq!(size(&curves("lenet5", &history).unwrap()), SIZE);
            let two = [("a".into(), history.clone()), ("b".into(), history)];
            assert_eq!(size(&compared(&two).unwrap()), (SIZE.0, SIZE.1 + 2 * LEGEND));
        }
    }
}
