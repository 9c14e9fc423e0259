//! Choosing a group by its name.
//!
//! Only the exact name chooses: to end the wrong group's sessions is worse than to ask again.

use std::fmt;

use lightsout_api::Group;
use lightsout_server::domain::fold::fold;

/// How many near names are shown.
const NEAR_MAX: usize = 5;

/// From here on a name is taken for a slip of the other (1 is the same name, 0 nothing in common):
/// one slip in four letters, three in ten.
const ALIKE: f64 = 0.7;

/// A shorter name stands in half of all words, and says nothing there.
const PART_MIN: usize = 3;

/// No group has the name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct NotThere {
    wanted: String,
    /// The nearest first.
    near: Vec<String>,
}

impl fmt::Display for NotThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no group is named {:?}", self.wanted)?;
        if self.near.is_empty() {
            return f.write_str(", nor anything near; check the name");
        }
        write!(f, "; near: {}", self.near.join(", "))
    }
}

/// Chooses the group that has exactly this name.
pub(crate) fn choose<'a>(wanted: &str, groups: &'a [Group]) -> Result<&'a Group, NotThere> {
    let exact = groups.iter().find(|group| group.name.as_deref() == Some(wanted));
    exact.ok_or_else(|| NotThere { wanted: wanted.to_owned(), near: near(wanted, groups) })
}

fn near(wanted: &str, groups: &[Group]) -> Vec<String> {
    let wanted = fold(wanted);
    let mut near: Vec<(f64, &str)> = groups
        .iter()
        .filter_map(|group| group.name.as_deref())
        .map(|name| (likeness(&wanted, &fold(name)), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    near.sort_unstable_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.cmp(y)));
    near.dedup();
    near.into_iter().take(NEAR_MAX).map(|(_, name)| name.to_owned()).collect()
}

/// How near two folded names are: above 1 where the name holds what is wanted, best at its start.
fn likeness(wanted: &str, name: &str) -> f64 {
    let alike = strsim::normalized_damerau_levenshtein(wanted, name);
    if wanted == name {
        4.0
    } else if wanted.is_empty() {
        0.0
    } else if name.starts_with(wanted) {
        2.0 + alike
    } else if name.contains(wanted) {
        1.0 + alike
    } else if name.len() >= PART_MIN && wanted.contains(name) {
        alike.max(ALIKE)
    } else {
        alike
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> Vec<Group> {
        let group = |(n, name): (usize, &&str)| Group {
            id: n.to_string().into(),
            name: Some((*name).to_owned()),
            created_at: None,
            other: serde_json::Map::new(),
        };
        names.iter().enumerate().map(group).collect()
    }

    fn refused(wanted: &str, names: &[&str]) -> String {
        choose(wanted, &groups(names)).expect_err("no group has the name").to_string()
    }

    #[test]
    fn the_exact_name_chooses() {
        let groups = groups(&["sales", "Sales", "Sales EMEA"]);
        assert_eq!(choose("Sales", &groups).map(|group| group.id.as_str()), Ok("1"));
    }

    #[test]
    fn another_case_is_near_and_does_not_choose() {
        assert_eq!(refused("SALES", &["Data", "Sales"]), "no group is named \"SALES\"; near: Sales");
        assert_eq!(refused(" Sales", &["Sales"]), "no group is named \" Sales\"; near: Sales");
    }

    #[test]
    fn slips_beginnings_and_parts_are_near() {
        let names = ["Finance", "S", "Sales EMEA", "Sales", "Salesforce admins", "Design", "Inside sales"];
        assert_eq!(refused("Slaes", &names), "no group is named \"Slaes\"; near: Sales");
        assert_eq!(
            refused("sales", &names),
            "no group is named \"sales\"; near: Sales, Sales EMEA, Salesforce admins, Inside sales"
        );
        assert_eq!(
            refused("Sales EMAE", &names),
            "no group is named \"Sales EMAE\"; near: Sales EMEA, Sales"
        );
        assert_eq!(
            refused("Sales & Design", &names),
            "no group is named \"Sales & Design\"; near: Design, Sales"
        );
    }

    #[test]
    fn at_most_five_are_shown_each_once() {
        let names = ["Ops 3", "Ops 1", "Ops 1", "Ops 2", "Ops 4", "Ops 5", "Ops 6"];
        assert_eq!(
            refused("Ops", &names),
            "no group is named \"Ops\"; near: Ops 1, Ops 2, Ops 3, Ops 4, Ops 5"
        );
    }

    #[test]
    fn what_is_far_is_not_shown() {
        assert_eq!(
            refused("Legal", &["Sales", ""]),
            "no group is named \"Legal\", nor anything near; check the name"
        );
        assert_eq!(refused("", &["Sales"]), "no group is named \"\", nor anything near; check the name");
        assert_eq!(
            refused("A\u{1b}", &["\u{1b}a"]),
            "no group is named \"A\\u{1b}\", nor anything near; check the name"
        );
    }
}
