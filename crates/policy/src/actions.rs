//! What can be done, and which role is a name for which of it.
//!
//! A role is a set of actions, not a rung: an auditor is neither above nor below
//! an operator. Comparing roles by rank was the first design; it fell with the
//! first two roles of which each may do what the other may not.

use std::fmt;

use store::Role;

/// What a route requires. Each route object carries one; a route without an
/// action cannot be declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Any inference: chat, completions, embeddings, counting tokens.
    Infer,
    /// The list of models that the key may use.
    ReadModels,
    /// Collections of its team: each document by its own readers.
    Retrieve,
    /// Records of its own requests (`explain`): its key's, and its user's.
    ReadOwnRecords,
    /// Those of its team.
    ReadRecords,
    /// Those of everybody in the org.
    ReadAllRecords,
    /// What its team spent.
    ReadCosts,
    /// What everybody spent.
    ReadAllCosts,
    /// Health in detail, metrics.
    ReadStatus,
    /// The audit log: leaves, checkpoints, proofs.
    ReadAudit,
    /// Who has access: teams, users, keys without their secrets, elevations.
    ReadAccess,
    /// Manifests and providers.
    ReadDeclared,
    /// Teams, users, keys.
    ManageAccess,
    /// Policies, guards, tools: what protects the others.
    ManagePolicy,
    /// Providers and their keys, models, features, sites, rollouts.
    Deploy,
    ManageBudgets,
    /// Collections of its team, and what is in them.
    WriteDocuments,
    /// To ask for more rights for a while.
    AskElevation,
    /// To say yes to that.
    ApproveElevation,
}

impl Action {
    pub const ALL: [Action; 19] = [
        Action::Infer,
        Action::ReadModels,
        Action::Retrieve,
        Action::ReadOwnRecords,
        Action::ReadRecords,
        Action::ReadAllRecords,
        Action::ReadCosts,
        Action::ReadAllCosts,
        Action::ReadStatus,
        Action::ReadAudit,
        Action::ReadAccess,
        Action::ReadDeclared,
        Action::ManageAccess,
        Action::ManagePolicy,
        Action::Deploy,
        Action::ManageBudgets,
        Action::WriteDocuments,
        Action::AskElevation,
        Action::ApproveElevation,
    ];
    /// As in "the key may not ...".
    pub const fn verb(self) -> &'static str {
        match self {
            Action::Infer => "run models",
            Action::ReadModels => "list models",
            Action::Retrieve => "search collections",
            Action::ReadOwnRecords => "read records",
            Action::ReadRecords => "read its team's records",
            Action::ReadAllRecords => "read everybody's records",
            Action::ReadCosts => "read costs",
            Action::ReadAllCosts => "read everybody's costs",
            Action::ReadStatus => "read the server's status",
            Action::ReadAudit => "read the audit log",
            Action::ReadAccess => "read who has access",
            Action::ReadDeclared => "read what is declared",
            Action::ManageAccess => "manage who has access",
            Action::ManagePolicy => "manage policies and guards",
            Action::Deploy => "manage providers and models",
            Action::ManageBudgets => "manage budgets",
            Action::WriteDocuments => "write documents",
            Action::AskElevation => "ask for more rights",
            Action::ApproveElevation => "approve more rights for others",
        }
    }
    /// The roles that may do it.
    pub fn roles(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| Actions::of(*role).has(self))
    }
}

/// A set of actions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions(u32);

impl Actions {
    pub const NONE: Actions = Actions(0);

    pub const fn from(actions: &[Action]) -> Actions {
        let (mut set, mut i) = (0, 0);
        while i < actions.len() {
            set |= 1 << actions[i] as u32;
            i += 1;
        }
        Actions(set)
    }
    /// What a role may do. A security officer may whatever an auditor and a
    /// developer may, because it makes their keys and no key makes more than it
    /// is (TRAPS X3); what it must not see, the records of others, it cannot
    /// hand out either.
    pub const fn of(role: Role) -> Actions {
        use Action::*;
        const INFERENCE: Actions = Actions::from(&[Infer, ReadModels, Retrieve]);
        const DEVELOPER: Actions =
            INFERENCE.and(Actions::from(&[ReadOwnRecords, WriteDocuments, AskElevation]));
        const VIEWER: Actions = DEVELOPER.and(Actions::from(&[ReadRecords, ReadCosts, ReadStatus]));
        const OPERATOR: Actions = Actions::from(&[
            ReadModels,
            ReadCosts,
            ReadAllCosts,
            ReadStatus,
            ReadDeclared,
            Deploy,
            AskElevation,
        ]);
        const AUDITOR: Actions = Actions::from(&[
            ReadModels,
            ReadCosts,
            ReadAllCosts,
            ReadStatus,
            ReadAudit,
            ReadAccess,
            ReadDeclared,
            AskElevation,
        ]);
        match role {
            Role::Inference | Role::Agent => INFERENCE,
            Role::Developer => DEVELOPER,
            Role::Viewer => VIEWER,
            Role::Operator => OPERATOR,
            Role::Auditor => AUDITOR,
            Role::SecurityOfficer => {
                AUDITOR.and(DEVELOPER).and(Actions::from(&[ManageAccess, ManagePolicy, ApproveElevation]))
            }
            Role::Admin => Actions::from(&Action::ALL),
        }
    }
    pub const fn has(self, action: Action) -> bool {
        self.0 >> action as u32 & 1 == 1
    }
    /// What is in either.
    pub const fn and(self, other: Actions) -> Actions {
        Actions(self.0 | other.0)
    }
    /// What is in both.
    pub const fn both(self, other: Actions) -> Actions {
        Actions(self.0 & other.0)
    }
    /// The first action that is not in `wider`.
    pub fn beyond(self, wider: Actions) -> Option<Action> {
        Action::ALL.into_iter().find(|a| self.has(*a) && !wider.has(*a))
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Action::ALL.into_iter().filter(|a| self.has(*a))).finish()
    }
}
