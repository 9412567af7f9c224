//! `curves.png`: training loss and validation error, epoch by epoch.

use crate::checkpoint::Epoch;
use anyhow::Result;
use infer::picture::{Area, Picture};
use plotters::coord::combinators::{BindKeyPoints, LogCoord, WithKeyPoints};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

const SIZE: (usize, usize) = (960, 400);
/// Okabe and Ito's blue and vermillion: told apart by the colour-blind, too.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILLION: RGBColor = RGBColor(213, 94, 0);

/// The picture as PNG.
///
/// # Errors
/// If the drawing fails.
pub fn curves(title: &str, history: &[Epoch]) -> Result<Vec<u8>> {
    let picture = Picture::draw(SIZE.0, SIZE.1, |root| {
        let root = root.margin(10, 8, 0, 12).titled(title, ("sans-serif", 20))?;
        let series = |f: fn(&Epoch) -> Option<f64>| -> Vec<(f64, f64)> {
            history.iter().filter_map(|e| Some((e.epoch as f64, f(e)?))).collect()
        };
        let loss = series(|e| Some(e.loss));
        let error = series(|e| e.validation_error.map(|v| 100.0 * v));
        if error.is_empty() {
            panel(&root, "training loss", &loss, BLUE)?;
        } else {
            let (left, right) = root.split_horizontally(SIZE.0 as u32 / 2 - 4);
            panel(&left, "training loss", &loss, BLUE)?;
            panel(&right, "validation error, %", &error, VERMILLION)?;
        }
        Ok(())
    })?;
    picture.png()
}

fn panel(area: &Area<'_>, title: &str, points: &[(f64, f64)], colour: RGBColor) -> Result<()> {
    let last = points.last().map_or(1.0, |p| p.0);
    // Losses fall by orders of magnitude: a logarithmic scale keeps the end readable.
    let positive = || points.iter().map(|p| p.1).filter(|y| *y > 0.0);
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
    chart.draw_series(LineSeries::new(points.iter().map(floor), colour.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|p| Circle::new(floor(p), 3, colour.filled())))?;
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
            let png = curves("lenet5", &history).unwrap();
            let image = image::load_from_memory(&png).unwrap();
            assert_eq!((image.width() as usize, image.height() as usize), SIZE);
        }
    }
}
