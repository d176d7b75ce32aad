//! Why money was not reserved, with the numbers that mattered.

use report::{Report, Retry};
use store::Scope;
use units::{Micros, Usd};

/// A hold that was refused, and by which budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub budget: String,
    pub scope: Scope,
    pub limit: Usd,
    pub settled: Usd,
    /// Reserved by requests in flight.
    pub held: Usd,
    /// The worst case of this request; `None`: its model has no price.
    pub asked: Option<Usd>,
    /// When the budget's period ends; `None`: never.
    pub resets: Option<Micros>,
}

impl Refusal {
    /// The error as shown: LG0201 spent, LG0202 could cost more than is left,
    /// LG0203 no price under a hard budget.
    pub fn report(&self) -> Report {
        let Refusal { budget, limit, settled, held, .. } = self;
        let numbers = format!("of {limit} USD, {settled} are spent and {held} held by requests in flight");
        let Some(asked) = self.asked else {
            return Report::new(
                "LG0203",
                format!("the model has no known price and the hard budget \"{budget}\" applies"),
            )
            .because(format!("a cost that cannot be bounded cannot be kept within a limit; {numbers}"))
            .hint("declare a price for the model's target, or make the budget soft");
        };
        let when = match self.resets {
            Some(at) => format!("the budget starts afresh at {at}"),
            None => "the budget has no period; an admin can raise its limit".into(),
        };
        if self.settled >= self.limit {
            return Report::new("LG0201", format!("the budget \"{budget}\" is spent"))
                .because(numbers)
                .hint(when);
        }
        let left = self.limit.checked_sub(self.settled).and_then(|l| l.checked_sub(self.held));
        let left = left.filter(|l| !l.is_negative()).unwrap_or(Usd::ZERO);
        let report = Report::new(
            "LG0202",
            format!("the request could cost {asked} USD and the budget \"{budget}\" has {left} left"),
        )
        .because(numbers);
        if self.settled.checked_add(asked).is_some_and(|sum| sum <= self.limit) {
            return report.retry(Retry::Yes).hint("try again when the requests in flight have settled");
        }
        report.hint(format!("ask for fewer tokens (`max_tokens`); {when}"))
    }
}
