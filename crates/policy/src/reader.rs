//! What somebody may read of a team's documents: the one place where whoever was
//! authenticated becomes a [`Reader`].

use store::documents::{Reader, Subject};

use crate::Principal;

impl Principal {
    /// The principal as documents see it: its team, its key, its user by name, and the
    /// groups of its token. An agent reads what both it and the user it acts for may
    /// read: the user's name is the user's, and the key and the groups are the agent's.
    pub fn reader(&self) -> Reader {
        let user = self.user_name.as_deref().map(Subject::user);
        let groups = self.groups.iter().map(|group| Subject::Group(group.clone()));
        let own = groups.chain([Subject::Key(self.key)]);
        match self.acting_for {
            None => Reader::new(self.team, own.chain(user)),
            Some(_) => Reader::new(self.team, own).within(user),
        }
    }
}

#[cfg(test)]
mod tests {
    use store::documents::Acl;
    use store::{Key, Role, State, Team, User};
    use units::{KeyId, Micros, OrgId, TeamId, UserId, Uuid7};

    use super::*;
    use crate::{Directory, Pepper};

    fn id(n: u8) -> Uuid7 {
        Uuid7::from_bytes([n; 16])
    }

    fn user(n: u8, name: &str) -> User {
        User {
            id: UserId(id(n)),
            org: OrgId(id(1)),
            name: name.into(),
            role: None,
            subject: None,
            created: Micros(0),
        }
    }

    fn key(n: u8, user: Option<u8>, role: Role) -> Key {
        Key {
            id: KeyId(id(n)),
            team: TeamId(id(2)),
            user: user.map(|n| UserId(id(n))),
            name: format!("key {n}"),
            role,
            subject: None,
            versions: Vec::new(),
            models: None,
            requests_per_minute: None,
            tokens_per_minute: None,
            expires: None,
            revoked: None,
            created_by: None,
            created: Micros(0),
        }
    }

    fn principal(users: &[User], key: Key) -> Principal {
        let team = Team {
            id: TeamId(id(2)),
            org: OrgId(id(1)),
            name: "search".into(),
            requests_per_minute: None,
            tokens_per_minute: None,
            created: Micros(0),
        };
        let of = key.id;
        let state = State { teams: vec![team], users: users.to_vec(), keys: vec![key], ..State::default() };
        Directory::new(&state, &Pepper::new([7; 32])).key(of, Micros(1)).expect("it is live")
    }

    fn may(principal: &Principal, acl: &[&str]) -> bool {
        let subjects = acl.iter().map(|text| text.parse().expect("a subject"));
        principal.reader().may(&Acl::new(subjects).expect("somebody"))
    }

    #[test]
    fn a_person_reads_as_team_key_user_and_groups() {
        let mut ada = principal(&[user(5, "Ada@acme.eu")], key(3, Some(5), Role::Developer));
        let own = format!("key:{}", ada.key);
        for acl in [&["team"][..], &["user:ada@acme.eu"], &[own.as_str()], &["group:x", "team"]] {
            assert!(may(&ada, acl), "{acl:?}");
        }
        let other = format!("key:{}", KeyId(id(9)));
        for acl in [&["user:eve@acme.eu"][..], &[other.as_str()], &["group:finance"]] {
            assert!(!may(&ada, acl), "{acl:?}");
        }
        ada.groups = ["finance".into()].into();
        assert!(may(&ada, &["group:finance"]) && !may(&ada, &["group:Finance"]));
    }

    #[test]
    fn a_name_that_two_have_opens_nothing() {
        let twins = [user(5, "ada@acme.eu"), user(6, "ADA@acme.eu")];
        assert!(!may(&principal(&twins, key(3, Some(5), Role::Developer)), &["user:ada@acme.eu"]));
        let elsewhere = User { org: OrgId(id(8)), ..user(6, "ada@acme.eu") };
        let both = [user(5, "ada@acme.eu"), elsewhere];
        assert!(may(&principal(&both, key(3, Some(5), Role::Developer)), &["user:ada@acme.eu"]));
    }

    #[test]
    fn an_agent_reads_what_it_and_its_user_both_may() {
        let agent = principal(&[user(5, "ada@acme.eu")], key(3, Some(5), Role::Agent));
        let own = format!("key:{}", agent.key);
        assert!(may(&agent, &["team"]));
        assert!(!may(&agent, &["user:ada@acme.eu"]), "the agent itself was not given it");
        assert!(!may(&agent, &[&own]), "its user was not");
        assert!(may(&agent, &[&own, "user:ada@acme.eu"]));
    }
}
