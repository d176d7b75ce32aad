//! `Team`: who shares keys, limits and budgets.

use crate::read::Fields;

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Team {
    /// Over all keys of the team.
    pub requests_per_minute: Option<u32>,
    /// Over all keys of the team.
    pub tokens_per_minute: Option<u64>,
}

pub(crate) fn read(fields: &mut Fields) -> Option<Team> {
    let requests = fields.number("requestsPerMinute", 1, u64::from(u32::MAX));
    Some(Team {
        requests_per_minute: requests.and_then(|n| u32::try_from(n).ok()),
        tokens_per_minute: fields.number("tokensPerMinute", 1, 1 << 50),
    })
}
