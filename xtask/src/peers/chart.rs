//! `performance.png`: how fast each framework is, the one that the goals are over set to 1.

use super::page::{goal, groups};
use super::row::{Framework, Row};
use crate::bench::plan::Mode;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

const WIDTH: u32 = 1120;
const PANEL: u32 = 340;
/// Room for the legend, right of the bars, as a share of theirs.
const LEGEND: f64 = 0.16;
/// Okabe and Ito's colours: told apart by the colour-blind, too.
const OURS: RGBColor = RGBColor(0, 114, 178);
const PYTORCH: RGBColor = RGBColor(230, 159, 0);
const ONNX: RGBColor = RGBColor(150, 150, 150);

/// A panel for each mode that was measured.
///
/// # Errors
/// If the drawing fails.
pub fn png(rows: &[Row]) -> Result<Vec<u8>> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| anyhow!("the font can't be read"))?;
    let panels = [(Mode::Infer, "Forward pass"), (Mode::Train, "Training step")];
    let panels: Vec<_> = panels.map(|(mode, title)| (mode, title, groups(rows, mode))).into_iter().collect();
    let panels: Vec<_> = panels.into_iter().filter(|(.., groups)| !groups.is_empty()).collect();
    let height = PANEL * panels.len().max(1) as u32;
    let mut pixels = vec![0; (WIDTH * height * 3) as usize];
    {
        let root = BitMapBackend::with_buffer(&mut pixels, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, (mode, title, groups)) in root.split_evenly((panels.len().max(1), 1)).iter().zip(&panels) {
            panel(area, *mode, title, groups)?;
        }
        root.present()?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(bytes)
}

fn panel(area: &DrawingArea<BitMapBackend<'_>, Shift>, mode: Mode, title: &str, groups: &[Vec<&Row>]) -> Result<()> {
    let (base, _) = goal("", mode);
    let mut bars = Vec::new();
    let mut goals = Vec::new();
    for (g, group) in groups.iter().enumerate() {
        // The page's numbers, so that both round the same.
        let ratio = |f| group.iter().find(|r| r.framework == f).and_then(|r| r.ratio);
        let Some(one) = ratio(base) else { continue };
        let shown = [Framework::PyTorch, Framework::OnnxRuntime, Framework::Ours];
        let there: Vec<_> = shown.into_iter().filter_map(|f| Some((f, one / ratio(f)?))).collect();
        let width = 0.8 / there.len() as f64;
        for (i, (framework, speed)) in there.iter().enumerate() {
            let left = g as f64 + 0.1 + i as f64 * width;
            bars.push((*framework, left, left + width, *speed));
            if *framework == Framework::Ours {
                goals.push((left - 0.03, left + width + 0.03, goal(&group[0].family, mode).1));
            }
        }
    }
    let most = bars.iter().map(|b| b.3).chain(goals.iter().map(|g| g.2)).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{title}: images per second, {} = 1", base.name()), ("sans-serif", 19))
        .margin(10)
        .x_label_area_size(44)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..groups.len() as f64 * (1.0 + LEGEND), 0.0..most * 1.05)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .max_light_lines(1)
        .y_labels(6)
        .y_label_formatter(&|y| format!("{y:.1}"))
        .label_style(("sans-serif", 14))
        .light_line_style(RGBColor(240, 240, 240))
        .bold_line_style(RGBColor(220, 220, 220))
        .draw()?;
    for framework in [Framework::PyTorch, Framework::OnnxRuntime, Framework::Ours] {
        let mine: Vec<_> = bars.iter().filter(|b| b.0 == framework).collect();
        if mine.is_empty() {
            continue;
        }
        let colour = colour(framework);
        let rectangle = |b: &&(Framework, f64, f64, f64)| Rectangle::new([(b.1, 0.0), (b.2, b.3)], colour.filled());
        chart
            .draw_series(mine.iter().map(rectangle))?
            .label(framework.name())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        // At the foot of its bar, where no goal crosses it.
        let ink = if framework == Framework::PyTorch { BLACK } else { WHITE };
        let style = ("sans-serif", 13).into_font().color(&ink).pos(Pos::new(HPos::Center, VPos::Bottom));
        chart.draw_series(
            // One that all are measured by says nothing new, and there is no room for it.
            mine.iter()
                .filter(|_| framework != base)
                .map(|b| Text::new(format!("{:.2}", b.3), ((b.1 + b.2) / 2.0, 0.0), style.clone())),
        )?;
    }
    chart
        .draw_series(goals.iter().map(|g| PathElement::new([(g.0, g.2), (g.1, g.2)], BLACK.stroke_width(2))))?
        .label("goal")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 12, y)], BLACK.stroke_width(2)));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font(("sans-serif", 14))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    // Below the axis: network and batch.
    let style = ("sans-serif", 14).into_font().into_text_style(area).pos(Pos::new(HPos::Center, VPos::Top));
    let plot = chart.plotting_area();
    for (g, group) in groups.iter().enumerate() {
        let (x, y) = plot.map_coordinate(&(g as f64 + 0.5, 0.0));
        let (dx, dy) = area.get_base_pixel();
        area.draw_text(&group[0].model, &style, (x - dx, y - dy + 6))?;
        area.draw_text(&format!("batch {}", group[0].batch), &style, (x - dx, y - dy + 23))?;
    }
    Ok(())
}

fn colour(framework: Framework) -> RGBColor {
    match framework {
        Framework::Ours => OURS,
        Framework::PyTorch => PYTORCH,
        Framework::OnnxRuntime => ONNX,
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{relate, sample};
    use super::*;

    #[test]
    fn any_rows_make_a_picture() {
        let mut all = Framework::ALL.map(|f| sample("alexnet", Mode::Infer, 1, f, Some(10.0)));
        relate(&mut all);
        let step = sample("alexnet", Mode::Train, 8, Framework::Ours, None);
        for (rows, panels) in [(vec![], 1), (all.to_vec(), 1), (vec![all[0].clone(), step], 2)] {
            let bytes = png(&rows).unwrap();
            let info = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap().info().size();
            assert_eq!(info, (WIDTH, PANEL * panels));
        }
    }
}
