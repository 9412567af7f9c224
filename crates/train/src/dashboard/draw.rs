//! What is on the screen.

use super::View;
use crate::report::duration;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph};

/// Lines of messages.
const MESSAGES: u16 = 6;

impl View {
    pub(super) fn draw(&self, frame: &mut Frame) {
        let rows =
            [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(3), Constraint::Length(MESSAGES + 2)];
        let [top, curves, progress, messages] = Layout::vertical(rows).areas(frame.area());
        let title = format!(" {}  rate {:.2e}  {:.0} images/s", self.title, self.rate, self.speed);
        let best = self.history.iter().filter_map(|e| Some((e.validation_error?, e.epoch)));
        let best = best.min_by(|a, b| a.0.total_cmp(&b.0));
        let best = best.map_or_else(String::new, |(e, at)| format!("  best {:.2} % in epoch {at}", 100.0 * e));
        frame.render_widget(Line::from(title + &best).bold(), top);

        let errors = self.history.iter().filter_map(|e| Some((e.epoch as f64, 100.0 * e.validation_error?)));
        let errors: Vec<_> = errors.collect();
        let unvalidated = errors.is_empty() && !self.history.is_empty();
        let halves = [Constraint::Fill(1), if unvalidated { Constraint::Length(0) } else { Constraint::Fill(1) }];
        let [left, right] = Layout::horizontal(halves).areas(curves);
        let epochs: Vec<_> = self.history.iter().map(|e| (e.epoch as f64, e.loss)).collect();
        let lines = [("in the epoch", Color::DarkGray, &self.running[..]), ("of epochs", Color::Cyan, &epochs[..])];
        self.chart(frame, left, &format!("training loss {:.4}", self.loss), &lines, |v| format!("{v:.3}"));
        let last = errors.last().map_or_else(String::new, |(_, e)| format!(" {e:.2} %"));
        let title = format!("validation error{last}");
        self.chart(frame, right, &title, &[("", Color::Yellow, &errors[..])], |v| format!("{v:.1} %"));

        let share = self.step as f64 / self.steps.max(1) as f64;
        let epoch = (self.epoch + 1).min(self.epochs);
        let left = match self.seconds_left {
            left if left.is_finite() && self.step > 0 => format!("{} left", duration(left)),
            _ => "starting".into(),
        };
        let label = format!("step {} of {}, {left}", self.step, self.steps);
        let gauge = Gauge::default()
            .block(Block::bordered().title(format!("epoch {epoch} of {}", self.epochs)))
            .gauge_style(Color::Blue)
            .ratio(share.clamp(0.0, 1.0))
            .label(label);
        frame.render_widget(gauge, progress);

        let keys = if self.stopping { "saving after this step; q again stops at once" } else { "q saves and stops" };
        let width = usize::from(messages.width.saturating_sub(2)).max(1);
        let wrapped = |m: &String| {
            let letters: Vec<_> = m.chars().collect();
            letters.chunks(width).map(|line| Line::from(line.iter().collect::<String>())).collect::<Vec<_>>()
        };
        let mut lines: Vec<_> = self.messages.iter().flat_map(wrapped).collect();
        lines.drain(..lines.len().saturating_sub(MESSAGES.into()));
        frame.render_widget(Paragraph::new(lines).block(Block::bordered().title_bottom(keys)), messages);
    }

    /// Curves over epochs, from 0 or the least value to the greatest.
    fn chart(
        &self,
        frame: &mut Frame,
        area: Rect,
        title: &str,
        lines: &[(&str, Color, &[(f64, f64)])],
        label: impl Fn(f64) -> String,
    ) {
        let values = || lines.iter().flat_map(|(.., points)| points.iter().map(|(_, y)| *y)).filter(|y| y.is_finite());
        let (least, most) = (values().fold(f64::MAX, f64::min).min(0.0), values().fold(f64::MIN, f64::max));
        let most = if most > least { most } else { least + 1.0 };
        let end = (self.epoch as f64 + 1.0).min(self.epochs as f64).max(1.0);
        let sets = lines.iter().map(|(name, colour, points)| {
            let set = Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line).data(points);
            set.name(*name).style(*colour)
        });
        let style = Style::default().dim();
        let middle = (least + most) / 2.0;
        let y = Axis::default().style(style).bounds([least, most]);
        let x = Axis::default().style(style).bounds([0.0, end]);
        let chart = Chart::new(sets.collect())
            .block(Block::bordered().title(title))
            .legend_position(None)
            .x_axis(x.labels(["0".to_string(), format!("epoch {end}")]))
            .y_axis(y.labels([label(least), label(middle), label(most)]));
        frame.render_widget(chart, area);
    }
}

#[cfg(test)]
mod tests {
    use super::super::POINTS;
    use super::*;
    use crate::checkpoint::Epoch;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    #[test]
    fn a_run_is_drawn_with_all_that_matters() {
        let mut view = View { title: "nin-cifar10".into(), epochs: 10, epoch: 2, steps: 400, ..View::default() };
        let epoch = |epoch: u64, loss, error| Epoch {
            epoch,
            loss,
            validation_error: Some(error),
            rate: 0.1,
            images_per_second: 41.0,
            seconds: 60.0,
        };
        view.history = vec![epoch(1, 2.1, 0.6), epoch(2, 1.5, 0.45)];
        view.messages = (0..9).map(|i| format!("line {i}")).collect();
        view.messages.push(format!("{}its end", "long ".repeat(30)));
        for i in 0..3000 {
            view.step(1.4 - 1e-4 * f64::from(i), 0.1, 41.0, 3700.0);
        }
        assert!(view.running.len() <= POINTS);
        view.step = 100;
        let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let screen = terminal.backend().to_string();
        for expected in [
            "nin-cifar10  rate 1.00e-1  41 images/s  best 45.00 % in epoch 2",
            "training loss 1.1001",
            "validation error 45.00 %",
            "epoch 3 of 10",
            "step 100 of 400, 1 h 01 min left",
            "line 8",
            "its end",
            "q saves and stops",
        ] {
            assert!(screen.contains(expected), "{expected} is missing:\n{screen}");
        }
        assert!(!screen.contains("line 2"), "{screen}");
        view.history.iter_mut().for_each(|e| e.validation_error = None);
        terminal.draw(|frame| view.draw(frame)).unwrap();
        assert!(!terminal.backend().to_string().contains("validation error"), "half of the screen is empty");
        // However small the terminal is.
        Terminal::new(TestBackend::new(3, 2)).unwrap().draw(|frame| view.draw(frame)).unwrap();
    }
}
