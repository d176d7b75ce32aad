//! `Budget`: a limit with a scope and a period.

use report::Report;
use units::Usd;

use crate::document::object_name;
use crate::read::Fields;

#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    pub scope: Scope,
    pub limit: Usd,
    pub period: Period,
    pub kind: BudgetKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Org(String),
    /// A team's name.
    Team(String),
    /// A key's id, or `team/name`.
    Key(String),
}

/// Civil periods in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Day,
    Month,
    Total,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetKind {
    /// Reserved before dispatch; nothing passes beyond it.
    Hard,
    /// Reported, never refused.
    Soft,
}

pub(crate) fn read(fields: &mut Fields) -> Option<Budget> {
    let scope = scope(fields);
    let at = fields.at;
    let limit = if fields.has("limit") {
        let expected = "an exact amount in USD from 0 to 9223372, such as \"25.00\"";
        let node = fields.take("limit");
        let limit = fields.parsed::<Usd>("limit", expected);
        if let (Some(node), Some(limit)) = (node, limit)
            && limit.is_negative()
        {
            fields.problems.wrong(&fields.path_of("limit"), node, expected);
        }
        limit.filter(|l| !l.is_negative())
    } else {
        let _ = fields.take("limit");
        fields.problems.missing("spec.limit", at, "write the amount in USD, such as `limit: \"25.00\"`");
        None
    };
    let period =
        fields.choice("period", &[("day", Period::Day), ("month", Period::Month), ("total", Period::Total)]);
    if !fields.has("period") {
        fields.problems.missing("spec.period", at, "one of `day`, `month`, `total`");
    }
    let kind = fields.choice("kind", &[("hard", BudgetKind::Hard), ("soft", BudgetKind::Soft)]);
    let kind = if fields.has("kind") { kind? } else { BudgetKind::Hard };
    Some(Budget { scope: scope?, limit: limit?, period: period?, kind })
}

fn scope(fields: &mut Fields) -> Option<Scope> {
    let given: Vec<&str> = ["org", "team", "key"].into_iter().filter(|name| fields.has(name)).collect();
    let (org, team, key) = (fields.text("org"), fields.text("team"), fields.text("key"));
    if given.len() != 1 {
        let what = if given.is_empty() {
            "a budget names nobody".to_owned()
        } else {
            format!("a budget names {}", given.join(" and "))
        };
        fields.problems.push(
            Report::new("MF0013", what)
                .at(fields.problems.place(fields.at))
                .because("it limits exactly one of `org`, `team` and `key`"),
        );
        return None;
    }
    let valid = |name: &String| {
        object_name(name) || name.split_once('/').is_some_and(|(t, k)| object_name(t) && object_name(k))
    };
    match (org, team, key) {
        (Some(name), ..) if valid(&name) => Some(Scope::Org(name)),
        (_, Some(name), _) if valid(&name) => Some(Scope::Team(name)),
        (.., Some(name)) if valid(&name) => Some(Scope::Key(name)),
        (None, None, None) => None,
        _ => {
            fields.problems.push(
                Report::new("MF0011", format!("`spec.{}` is not a valid name", given[0]))
                    .at(fields.problems.place(fields.at)),
            );
            None
        }
    }
}
