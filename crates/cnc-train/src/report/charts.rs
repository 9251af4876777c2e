//! The parts of a hand-written SVG chart: a frame with axes, lines, marks and colours.
//!
//! Coordinates are in units of the view box, y downwards. Colours come from the style sheet by class name, so that a
//! chart follows light and dark, and nothing is told by colour alone: series differ by dash and label, marks by shape.

use maud::{Markup, html};

use super::format::number;

/// Number of colours of the style sheet (`.k0` to `.k7`); further categories repeat a colour with another shape.
pub(super) const COLOURS: usize = 8;

/// A plot area with its scales.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// Size of the view box.
    pub width: f64,
    /// Size of the view box.
    pub height: f64,
    /// Left edge of the plot area.
    pub left: f64,
    /// Right edge of the plot area.
    pub right: f64,
    /// Top edge of the plot area.
    pub top: f64,
    /// Bottom edge of the plot area.
    pub bottom: f64,
    /// Smallest and largest x value.
    pub x: (f64, f64),
    /// Smallest and largest y value.
    pub y: (f64, f64),
}

impl Frame {
    /// Position of an x value.
    pub(super) fn at_x(&self, value: f64) -> f64 {
        self.left + (self.right - self.left) * share(value, self.x)
    }

    /// Position of a y value.
    pub(super) fn at_y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * share(value, self.y)
    }

    /// Ruled lines and labels at these y values.
    pub(super) fn y_axis(&self, ticks: &[f64], label: impl Fn(f64) -> String) -> Markup {
        html! {
            @for tick in ticks {
                @let y = self.at_y(*tick);
                line.rule x1=(at(self.left)) x2=(at(self.right)) y1=(at(y)) y2=(at(y)) {}
                text.tick x=(at(self.left - 7.0)) y=(at(y + 4.0)) text-anchor="end" { (label(*tick)) }
            }
        }
    }

    /// Labels at round x values, and the name of the axis.
    pub(super) fn x_axis(&self, name: &str) -> Markup {
        html! {
            line.axis x1=(at(self.left)) x2=(at(self.right)) y1=(at(self.bottom)) y2=(at(self.bottom)) {}
            @for tick in ticks(self.x.0, self.x.1, 5) {
                @let x = self.at_x(tick);
                line.axis x1=(at(x)) x2=(at(x)) y1=(at(self.bottom)) y2=(at(self.bottom + 4.0)) {}
                text.tick x=(at(x)) y=(at(self.bottom + 17.0)) text-anchor="middle" { (plain(tick)) }
            }
            text.tick x=(at(0.5 * (self.left + self.right))) y=(at(self.bottom + 34.0)) text-anchor="middle" { (name) }
        }
    }

    /// The path through these points; a value that does not exist interrupts it.
    pub(super) fn path(&self, points: &[(f64, Option<f64>)]) -> String {
        let mut path = String::new();
        let mut drawing = false;
        for (x, y) in points {
            match y.filter(|y| y.is_finite()) {
                Some(y) => {
                    path.push(if drawing { 'L' } else { 'M' });
                    path.push_str(&format!("{} {}", at(self.at_x(*x)), at(self.at_y(y))));
                    drawing = true;
                }
                None => drawing = false,
            }
        }
        path
    }
}

fn share(value: f64, (low, high): (f64, f64)) -> f64 {
    let share = if high > low { (value - low) / (high - low) } else { 0.5 };
    if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
}

/// A coordinate with one decimal.
pub(super) fn at(value: f64) -> String {
    format!("{value:.1}")
}

/// A tick label without needless decimals.
pub(super) fn plain(value: f64) -> String {
    let text = number(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// At most about `most` round values from `low` to `high`.
pub(super) fn ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 || most == 0 {
        return vec![low];
    }
    let rough = span / most as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough * 0.999).unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let last = (high / step * (1.0 + 1e-12)).floor() as i64;
    (first..=last).map(|index| index as f64 * step).collect()
}

/// Move labels apart: their y positions, at least `gap` apart, as near to the wanted ones as the order allows.
pub(super) fn apart(wanted: &[f64], gap: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut placed = wanted.to_vec();
    for pair in order.windows(2) {
        placed[pair[1]] = placed[pair[1]].max(placed[pair[0]] + gap);
    }
    let excess = order.last().map_or(0.0, |last| placed[*last] - bottom).max(0.0);
    placed.iter().map(|y| y - excess).collect()
}

/// The outline of the mark of a category, centred at `(x, y)`: shapes differ where colours repeat or cannot be seen.
pub(super) fn mark(category: usize, x: f64, y: f64, radius: f64) -> String {
    let r = radius;
    let start = |dx: f64, dy: f64| format!("M{} {}", fine(x + dx), fine(y + dy));
    let d = fine;
    match category % 6 {
        0 => format!("{}a{r} {r} 0 1 0 {} 0a{r} {r} 0 1 0 {} 0z", start(-r, 0.0), d(2.0 * r), d(-2.0 * r), r = d(r)),
        1 => format!("{}h{s}v{s}h-{s}z", start(-0.9 * r, -0.9 * r), s = d(1.8 * r)),
        2 => format!("{}l{} {}h{}z", start(0.0, -1.2 * r), d(1.2 * r), d(2.1 * r), d(-2.4 * r)),
        3 => format!("{}l{q} {q} {m} {q} {m} {m}z", start(0.0, -1.3 * r), q = d(1.3 * r), m = d(-1.3 * r)),
        4 => {
            let (w, l) = (0.45 * r, 0.85 * r);
            let (w2, l1) = (d(2.0 * w), d(l));
            format!("{}h{w2}v{l1}h{l1}v{w2}h-{l1}v{l1}h-{w2}v-{l1}h-{l1}v-{w2}h{l1}z", start(-w, -w - l))
        }
        _ => format!("{}h{}l{} {}z", start(-1.2 * r, -0.9 * r), d(2.4 * r), d(-1.2 * r), d(2.1 * r)),
    }
}

fn fine(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame {
        width: 100.0,
        height: 100.0,
        left: 0.0,
        right: 100.0,
        top: 0.0,
        bottom: 100.0,
        x: (0.0, 10.0),
        y: (0.0, 1.0),
    };

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.0, 0.7, 4), [0.0, 0.2, 0.4, 0.6000000000000001]);
        assert_eq!(ticks(3.0, 3.0, 4), [3.0]);
    }

    #[test]
    fn a_missing_value_interrupts_the_line_and_a_broken_one_too() {
        let points = [(0.0, Some(0.0)), (5.0, None), (6.0, Some(f64::NAN)), (10.0, Some(1.0))];
        assert_eq!(FRAME.path(&points), "M0.0 100.0M100.0 0.0");
    }

    #[test]
    fn a_scale_of_one_value_is_drawn_in_the_middle() {
        assert_eq!(Frame { x: (2.0, 2.0), ..FRAME }.at_x(2.0), 50.0);
    }

    #[test]
    fn labels_keep_their_distance_and_stay_inside() {
        assert_eq!(apart(&[10.0, 12.0], 15.0, 100.0), [10.0, 25.0]);
        assert_eq!(apart(&[99.0, 98.0], 15.0, 100.0), [100.0, 85.0]);
    }
}
