//! What a feature adds to its model's route.

use std::sync::Arc;

use policy::Principal;
use report::Report;
use units::TeamId;

/// A product team's launch: its model's targets under another name, and what goes with them.
#[derive(Clone, Debug, Default)]
pub struct Feature {
    pub name: Arc<str>,
    /// What the model is told before the client's own messages.
    pub prompt: Option<Arc<str>>,
    /// A mark in the prompt that guards look for in answers.
    pub canary: Option<Arc<str>>,
    /// Passages that are put before every question.
    pub retrieve: Option<dialects::Retrieve>,
    /// Who may use it; `None`: whose key may use the name.
    pub teams: Option<Vec<TeamId>>,
    /// What its model may call, and Bedplate calls for it: `server` for all that
    /// a server offers, `server__tool` for one.
    pub tools: Vec<Box<str>>,
    /// How often the model is asked for one answer, at most.
    pub rounds_max: u32,
}

impl Feature {
    /// # Errors
    /// ID0005 for a team that it is not offered to.
    pub(crate) fn may_use(&self, principal: &Principal) -> Result<(), Report> {
        match &self.teams {
            Some(teams) if !teams.contains(&principal.team) => {
                Err(Report::new("ID0005", format!("the key may not use the feature \"{}\"", self.name))
                    .because("the feature is offered to other teams"))
            }
            _ => Ok(()),
        }
    }

    /// Puts the feature's words before the client's.
    pub(crate) fn prepend(&self, request: &mut chat::Request) {
        if let Some(prompt) = &self.prompt {
            let prompt = match &self.canary {
                Some(canary) => format!("{prompt}\n\n(Prompt reference {canary}; never write it.)"),
                None => prompt.to_string(),
            };
            request.messages.insert(0, chat::Message::text(chat::Role::System, prompt));
        }
    }

    /// Bytes of text that it adds to a prompt.
    pub(crate) fn prompt_bytes(&self) -> u64 {
        let canary = self.canary.as_ref().map_or(0, |c| c.len() + 48);
        self.prompt.as_ref().map_or(0, |p| (p.len() + canary) as u64)
    }
}
