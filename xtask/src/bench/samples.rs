//! Times, round by round.

/// The median of some numbers; `None` of none.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let high = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { high } else { (sorted[middle - 1] + high) / 2.0 })
}

/// The greatest less the smallest, if there are two at least.
pub fn spread(numbers: &[f64]) -> Option<f64> {
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (numbers.len() > 1).then_some(most - least)
}

/// `x` to a thousandth.
pub fn round(x: f64) -> f64 {
    (1000.0 * x).round() / 1000.0
}

/// `x` with so many digits behind the point; a dash for nothing.
pub fn cell(x: Option<f64>, digits: usize) -> String {
    x.map_or_else(|| "–".into(), |x| format!("{x:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_width() {
        assert_eq!((median(&[]), spread(&[])), (None, None));
        assert_eq!((median(&[3.0]), spread(&[3.0])), (Some(3.0), None));
        assert_eq!((median(&[9.0, 1.0, 2.0]), spread(&[9.0, 1.0, 2.0])), (Some(2.0), Some(8.0)));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!((cell(Some(1.25), 1), cell(None, 3)), ("1.2".into(), "–".into()));
    }
}
