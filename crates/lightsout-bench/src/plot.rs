//! Line charts with two logarithmic axes, as SVG that reads on a light and on a dark page.

use crate::stats::{time, whole};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 40.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 96.0;
/// Told apart by people who see red and green alike, and not too light and not too dark for either page.
const COLOURS: [&str; 6] = ["#d55e00", "#2f7ec2", "#1b9e77", "#b05fa0", "#b8860b", "#7f7f7f"];

/// What stands on an axis.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// Plain numbers.
    Count,
    /// Seconds, shown in the unit that fits.
    Time,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// A bare counterpart: its line is dashed.
    pub(crate) bare: bool,
}

/// A chart.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: (String, Unit),
    pub(crate) y: (String, Unit),
    pub(crate) series: Vec<Series>,
}

/// Powers of ten from the one at or below the smallest to the one at or above the largest.
struct Axis {
    low: i32,
    high: i32,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|v| *v > 0.0) {
            (low, high) = (low.min(value.log10()), high.max(value.log10()));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a power of ten is a small number")]
        let (low, high) = ((low + 1e-9).floor() as i32, (high - 1e-9).ceil() as i32);
        Self { low, high: high.max(low + 1), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        self.from + share * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.low..=self.high).map(|power| 10_f64.powi(power))
    }
}

impl Chart {
    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|s| s.points.iter().copied());
        let x = Axis::over(points().map(|p| p.0), LEFT, WIDTH - RIGHT);
        let y = Axis::over(points().map(|p| p.1), HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<title>{}</title>\n<style>\n\
             text {{ fill: #24292f }} .grid {{ stroke: #d0d7de }} .page {{ fill: #ffffff }}\n\
             @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .grid {{ stroke: #3d444d }} \
             .page {{ fill: #0d1117 }} }}\n</style>\n\
             <rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\n\
             <text x=\"{LEFT}\" y=\"26\" font-size=\"15\" font-weight=\"600\">{}</text>\n",
            escape(&self.title),
            escape(&self.title)
        );
        self.axes(&mut svg, &x, &y);
        for (n, series) in self.series.iter().enumerate() {
            draw(&mut svg, series, COLOURS[n % COLOURS.len()], &x, &y);
        }
        self.legend(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let bottom = HEIGHT - BOTTOM;
        for tick in x.ticks() {
            let (at, label) = (x.at(tick), show(tick, self.x.1));
            svg.push_str(&format!(
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\n",
                bottom + 18.0
            ));
        }
        for tick in y.ticks() {
            let (at, label) = (y.at(tick), show(tick, self.y.1));
            svg.push_str(&format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0
            ));
        }
        svg.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
             <text x=\"{LEFT}\" y=\"{:.1}\" font-size=\"12\">{}</text>\n",
            f64::midpoint(LEFT, WIDTH - RIGHT),
            bottom + 38.0,
            escape(&self.x.0),
            TOP - 6.0,
            escape(&self.y.0)
        ));
    }

    /// Names beside a piece of their line, as many to a row as there is room for.
    fn legend(&self, svg: &mut String) {
        let (mut left, mut top) = (LEFT, HEIGHT - BOTTOM + 60.0);
        for (n, series) in self.series.iter().enumerate() {
            let width = 46.0 + 7.0 * f64::from(u16::try_from(series.name.chars().count()).unwrap_or(100));
            if left + width > WIDTH && left > LEFT {
                (left, top) = (LEFT, top + 20.0);
            }
            svg.push_str(&format!(
                "<line x1=\"{left:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{}\" \
                 stroke-width=\"2.5\"{}/><text x=\"{:.1}\" y=\"{top:.1}\">{}</text>\n",
                left + 24.0,
                top - 4.0,
                top - 4.0,
                COLOURS[n % COLOURS.len()],
                dashes(series),
                left + 30.0,
                escape(&series.name)
            ));
            left += width;
        }
    }
}

fn draw(svg: &mut String, series: &Series, colour: &str, x: &Axis, y: &Axis) {
    let at = |(px, py): &(f64, f64)| format!("{:.1},{:.1}", x.at(*px), y.at(*py));
    let shown: Vec<&(f64, f64)> = series.points.iter().filter(|(px, py)| *px > 0.0 && *py > 0.0).collect();
    let line: Vec<String> = shown.iter().map(|p| at(p)).collect();
    svg.push_str(&format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"{}/>\n",
        line.join(" "),
        dashes(series)
    ));
    for (px, py) in shown {
        svg.push_str(&format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>\n",
            x.at(*px),
            y.at(*py)
        ));
    }
}

fn dashes(series: &Series) -> &'static str {
    if series.bare { " stroke-dasharray=\"6 5\"" } else { "" }
}

fn show(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count => whole(value),
        Unit::Time => {
            let text = time(std::time::Duration::from_secs_f64(value));
            text.replace(".00", "").replace(".0 ", " ")
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_on_logarithmic_axes() {
        let chart = Chart {
            title: "a < b".to_owned(),
            x: ("sessions".to_owned(), Unit::Count),
            y: ("time".to_owned(), Unit::Time),
            series: vec![Series {
                name: "ours".to_owned(),
                points: vec![(10.0, 0.001), (100.0, 0.01), (1000.0, 0.1)],
                bare: true,
            }],
        };
        let svg = chart.svg();
        // The first at the corner, the second in the middle, the third at the other corner.
        assert!(svg.contains("points=\"84.0,324.0 402.0,186.0 720.0,48.0\""), "{svg}");
        assert!(
            svg.contains("stroke-dasharray") && svg.contains(">1,000<") && svg.contains(">10 ms<"),
            "{svg}"
        );
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b"), "{svg}");
    }

    #[test]
    fn empty_chart_is_still_a_picture() {
        let chart = Chart {
            title: String::new(),
            x: (String::new(), Unit::Count),
            y: (String::new(), Unit::Time),
            series: Vec::new(),
        };
        assert!(chart.svg().ends_with("</svg>\n"));
    }
}
