//! The report: what each part found, and the table of the numbers to reach.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use crate::machine;
use crate::plot::Chart;
use crate::stats::digits;

/// Something to reach, and what was found.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// Its row in the table of the numbers to reach.
    pub(crate) row: Row,
    /// What of the row: a database, a half of it.
    pub(crate) what: String,
    /// What is allowed or asked for, in the figures of this run.
    pub(crate) target: String,
    pub(crate) measured: String,
    /// The bare counterpart from the same run.
    pub(crate) bare: String,
    /// What was measured by what is allowed: reached up to 1.
    pub(crate) share: f64,
}

/// The rows of the table, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    OneUser,
    ThousandUsers,
    Group,
    Introspection,
    Check,
    Nodes,
    Stored,
    Redis,
    Rest,
}

impl Row {
    const ALL: [Self; 9] = [
        Self::OneUser,
        Self::ThousandUsers,
        Self::Group,
        Self::Introspection,
        Self::Check,
        Self::Nodes,
        Self::Stored,
        Self::Redis,
        Self::Rest,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::OneUser => "end one user, POST to 202, durable",
            Self::ThousandUsers => "1,000 users x 10 sessions, one POST",
            Self::Group => "a group of 100,000 x 10 sessions",
            Self::Introspection => "introspection over HTTP, 10 million sessions",
            Self::Check => "check inside an app (barrier feed)",
            Self::Nodes => "from the 202 to the refusal on every other node and app",
            Self::Stored => "ending one user, 10 million sessions stored against 10 thousand",
            Self::Redis => "Redis without an index, 500,000 sessions, 1,000 users",
            Self::Rest => "the service at rest",
        }
    }
}

/// A piece of a part.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    Text(String),
    Table { head: Vec<String>, rows: Vec<Vec<String>> },
    Plot { file: String, chart: Chart },
}

/// One part of the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) title: String,
    pub(crate) blocks: Vec<Block>,
    pub(crate) goals: Vec<Goal>,
    load_before: String,
    load_after: String,
    took: Duration,
    failure: Option<String>,
}

impl Part {
    pub(crate) fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    pub(crate) fn table<const N: usize>(&mut self, head: [&str; N], rows: Vec<[String; N]>) {
        let rows = rows.into_iter().map(Vec::from).collect();
        self.blocks.push(Block::Table { head: head.map(str::to_owned).into(), rows });
    }

    pub(crate) fn plot(&mut self, file: &str, chart: Chart) {
        self.blocks.push(Block::Plot { file: file.to_owned(), chart });
    }

    pub(crate) fn goal(&mut self, goal: Goal) {
        self.goals.push(goal);
    }
}

/// Everything that one run found.
pub(crate) struct Report {
    pub(crate) quick: bool,
    pub(crate) parts: Vec<Part>,
    pub(crate) facts: Vec<(String, String)>,
}

impl Report {
    /// Runs a part and keeps what it found. A part that fails says so in its place.
    pub(crate) fn run(&mut self, title: &str, work: impl FnOnce(&mut Part) -> anyhow::Result<()>) {
        let mut part = Part { title: title.to_owned(), load_before: machine::load(), ..Part::default() };
        eprintln!("{title} ...");
        let started = std::time::Instant::now();
        let worked = std::panic::catch_unwind(AssertUnwindSafe(|| work(&mut part)));
        if let Err(error) = worked.unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked"))) {
            eprintln!("  failed: {error:#}");
            part.failure = Some(format!("{error:#}"));
        }
        (part.took, part.load_after) = (started.elapsed(), machine::load());
        eprintln!("  {:.0} s", part.took.as_secs_f64());
        self.parts.push(part);
    }

    pub(crate) fn failed(&self) -> bool {
        self.parts.iter().any(|part| part.failure.is_some())
    }

    /// Writes `benchmarks.md` into a folder, and the plots into `benchmarks/` beside it.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let plots = folder.join("benchmarks");
        std::fs::create_dir_all(&plots)?;
        for block in self.parts.iter().flat_map(|part| &part.blocks) {
            if let Block::Plot { file, chart } = block {
                std::fs::write(plots.join(file), chart.svg())?;
            }
        }
        Ok(std::fs::write(folder.join("benchmarks.md"), self.markdown())?)
    }

    pub(crate) fn markdown(&self) -> String {
        let mut out = String::from(
            "# Benchmarks\n\nWritten by `just bench`; every figure is from one run on one machine. Absolute figures \
             say something about that machine only: read the ratios, each to a bare counterpart that ran beside it. \
             The service is the release binary in a process of its own, over plain HTTP on the loopback interface, \
             with its limits raised and everything else at its default. p50 and p99 are the times that 50 and \
             99 of 100 did not exceed.\n",
        );
        if self.quick {
            out.push_str(
                "\n**A quick run: sizes are smaller than the table asks for, and no figure here counts.**\n",
            );
        }
        out.push_str("\n## The machine\n\n");
        table(&mut out, &["what", "is"], self.facts.iter().map(|(k, v)| vec![k.clone(), v.clone()]));
        out.push_str(
            "\nThe load average (1, 5 and 15 minutes) before and after each part; the run's own work is in it.\n\n",
        );
        let loads = self.parts.iter().map(|part| {
            let took = format!("{:.0} s", part.took.as_secs_f64());
            vec![part.title.clone(), part.load_before.clone(), part.load_after.clone(), took]
        });
        table(&mut out, &["part", "before", "after", "took"], loads);
        self.goals(&mut out);
        for part in &self.parts {
            out.push_str(&format!("\n## {}\n", part.title));
            for block in &part.blocks {
                show(&mut out, block);
            }
            if let Some(why) = &part.failure {
                let why = why.lines().next().unwrap_or_default();
                out.push_str(&format!(
                    "\n**This part failed, and what follows it was not measured: {why}**\n"
                ));
            }
        }
        out
    }

    fn goals(&self, out: &mut String) {
        out.push_str(
            "\n## Numbers to reach\n\nThe last column but one is what was measured divided by what is allowed \
             (or what is asked for divided by what was measured): reached up to 1.\n\n",
        );
        let goals: Vec<&Goal> = self.parts.iter().flat_map(|part| &part.goals).collect();
        let mut rows = Vec::new();
        for row in Row::ALL {
            let before = rows.len();
            for goal in goals.iter().filter(|goal| goal.row == row) {
                let verdict = if goal.share <= 1.0 { "reached" } else { "**missed**" };
                rows.push(vec![
                    format!("{}: {}", row.title(), goal.what),
                    goal.target.clone(),
                    goal.measured.clone(),
                    goal.bare.clone(),
                    digits(goal.share),
                    verdict.to_owned(),
                ]);
            }
            if rows.len() == before {
                let none = || "-".to_owned();
                rows.push(vec![
                    row.title().to_owned(),
                    none(),
                    none(),
                    none(),
                    none(),
                    "not measured".to_owned(),
                ]);
            }
        }
        table(out, &["what", "allowed", "measured", "bare, same run", "ratio", ""], rows.into_iter());
    }
}

fn show(out: &mut String, block: &Block) {
    match block {
        Block::Text(text) => out.push_str(&format!("\n{text}\n")),
        Block::Table { head, rows } => {
            out.push('\n');
            let head: Vec<&str> = head.iter().map(String::as_str).collect();
            table(out, &head, rows.iter().cloned());
        }
        Block::Plot { file, chart } => {
            out.push_str(&format!("\n![{}](benchmarks/{file})\n", chart.title));
        }
    }
}

fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    out.push_str(&format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len())));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_to_reach_has_its_verdict() {
        let goal = |row, share| Goal {
            row,
            what: "SQLite".to_owned(),
            target: "1 ms".to_owned(),
            measured: "2 ms".to_owned(),
            bare: "a|b".to_owned(),
            share,
        };
        let goals = vec![goal(Row::Check, 0.5), goal(Row::Rest, 1.001)];
        let part = Part { title: "one".to_owned(), goals, ..Part::default() };
        let report = Report { quick: true, parts: vec![part], facts: Vec::new() };
        let text = report.markdown();
        assert_eq!(text.matches("not measured").count(), Row::ALL.len() - 2, "{text}");
        assert!(text.contains("a\\|b | 0.500 | reached |"), "{text}");
        assert!(text.contains("| 1.00 | **missed** |"), "{text}");
    }

    #[test]
    fn failed_part_says_why_and_the_run_has_failed() {
        let mut report = Report { quick: false, parts: Vec::new(), facts: Vec::new() };
        report.run("one", |part| {
            part.text("begun");
            anyhow::bail!("no such thing")
        });
        assert!(report.failed());
        report.run("two", |_| panic!("a bug"));
        let text = report.markdown();
        assert!(text.contains("begun") && text.contains("was not measured: no such thing"), "{text}");
        assert!(text.contains("was not measured: it panicked"), "{text}");
    }
}
