//! Everything that policies can name, as Cedar's entities: built natively when
//! the declared state changes, never from JSON, and read by every decision as it
//! is. A request builds only its context.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cedar_policy::{Entities, Entity, EntityUid, RestrictedExpression as Value};
use store::{Role, State};
use units::{TeamId, UserId, Zone};

use super::ask::{Act, Kind, Object, Subject, texts, uid};
use super::compile::SCHEMA;
use crate::{Place, PlaceKind};

/// A team's catalogue, where its manifest declares one.
#[derive(Clone, Copy, Debug)]
pub struct TeamFacts<'a> {
    pub name: &'a str,
    pub models: &'a [String],
}

/// A model, and the places that can run it.
#[derive(Clone, Debug)]
pub struct ModelFacts<'a> {
    pub name: &'a str,
    pub providers: Vec<&'a str>,
    pub places: Vec<&'a Place>,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: Option<&'a str>,
}

/// Entities of one generation. Immutable: a change is a new one.
pub struct World {
    entities: Entities,
    catalogues: HashMap<Box<str>, HashSet<Box<str>>>,
    users: HashMap<UserId, Box<str>>,
}

impl World {
    /// # Errors
    /// When Cedar refuses an entity: a bug of this crate, which its tests hold
    /// against the schema.
    pub fn new(
        state: &State,
        catalogues: &[TeamFacts<'_>],
        models: &[ModelFacts<'_>],
    ) -> Result<World, String> {
        let catalogues: HashMap<Box<str>, HashSet<Box<str>>> = catalogues
            .iter()
            .map(|team| (team.name.into(), team.models.iter().map(|m| m.as_str().into()).collect()))
            .collect();
        let mut all = vec![Entity::with_uid(Object::deployment().uid().clone())];
        for org in &state.orgs {
            all.push(entity(uid(Kind::Org, &org.name), vec![name(&org.name)], [])?);
        }
        let org = |id| state.orgs.iter().find(|o| o.id == id).map(|o| uid(Kind::Org, &o.name));
        let teams: HashMap<TeamId, &str> = state.teams.iter().map(|t| (t.id, t.name.as_str())).collect();
        for team in &state.teams {
            let mut attributes = vec![name(&team.name)];
            attributes.extend(catalogues.get(team.name.as_str()).map(models_of));
            all.push(entity(uid(Kind::Team, &team.name), attributes, org(team.org))?);
        }
        all.extend(users(state, &teams, &catalogues)?);
        all.extend(keys(state, &teams)?);
        for model in models {
            all.push(self::model(model)?);
        }
        let actions = SCHEMA.action_entities().map_err(|e| e.to_string())?;
        let entities = Entities::from_entities(all.into_iter().chain(actions), None);
        let users = state.users.iter().map(|u| (u.id, u.name.as_str().into())).collect();
        Ok(World { entities: entities.map_err(|e| e.to_string())?, catalogues, users })
    }

    /// A world of nothing, in which every question about a model fails.
    pub fn empty() -> World {
        World::new(&State::default(), &[], &[]).unwrap_or_else(|_| World {
            entities: Entities::empty(),
            catalogues: HashMap::new(),
            users: HashMap::new(),
        })
    }

    /// Whether the team's catalogue has the model: what `bedplate-grant` says
    /// of it, for lists of models.
    pub fn in_catalogue(&self, team: &str, model: &str) -> bool {
        self.catalogues.get(team).is_none_or(|models| models.contains(model))
    }

    pub fn knows_user(&self, name: &str) -> bool {
        self.entities.get(&uid(Kind::User, name)).is_some()
    }

    pub fn knows_team(&self, name: &str) -> bool {
        self.entities.get(&uid(Kind::Team, name)).is_some()
    }

    /// By its own name, not an alias.
    pub fn knows_model(&self, name: &str) -> bool {
        self.entities.get(&uid(Kind::Model, name)).is_some()
    }

    pub fn user_name(&self, id: UserId) -> Option<&str> {
        self.users.get(&id).map(AsRef::as_ref)
    }

    /// A live key, `team/name`: a service, or an agent where its role says so.
    pub fn key(&self, team: &str, name: &str) -> Option<Subject> {
        let kinds = [Subject::key(team, name), Subject::agent_key(team, name)];
        kinds.into_iter().find(|subject| self.entities.get(subject.uid()).is_some())
    }

    pub(super) fn entities(&self) -> &Entities {
        &self.entities
    }

    /// The few entities of a question about somebody or something that the world
    /// does not hold: those, and what they stand in. `None`: the world has all.
    pub(super) fn around(
        &self,
        subject: &Subject,
        act: Act,
        object: &Object,
    ) -> Result<Option<Entities>, String> {
        // Cedar answers `has` about what it does not know with no, which a policy
        // that means "no list, so everything" would take for a grant.
        for (uid, stranger) in [(subject.uid(), &subject.stranger), (object.uid(), &object.stranger)] {
            if stranger.is_none() && self.entities.get(uid).is_none() {
                return Err(format!("{uid} is not known"));
            }
        }
        if subject.stranger.is_none() && object.stranger.is_none() {
            return Ok(None);
        }
        let mut wanted: Vec<&EntityUid> = vec![subject.uid(), act.uid(), object.uid()];
        wanted.extend(&subject.parents);
        let mut few: Vec<Entity> = subject.stranger.iter().chain(&object.stranger).cloned().collect();
        for uid in wanted {
            let own = self.entities.ancestors(uid).into_iter().flatten().chain([uid]);
            for uid in own {
                if let Some(entity) = self.entities.get(uid)
                    && !few.iter().any(|have| have.uid() == *uid)
                {
                    few.push(entity.clone());
                }
            }
        }
        Entities::from_entities(few, None).map(Some).map_err(|e| e.to_string())
    }

    /// Holds every entity against the schema: for tests.
    #[cfg(test)]
    pub(super) fn check(&self) -> Result<(), String> {
        let ours = self.entities.iter().filter(|e| e.uid().type_name().basename() != "Action").cloned();
        Entities::from_entities(ours, Some(&SCHEMA)).map(drop).map_err(|e| format!("{e:?}"))
    }
}

fn entity(
    uid: EntityUid,
    attributes: Vec<(String, Value)>,
    parents: impl IntoIterator<Item = EntityUid>,
) -> Result<Entity, String> {
    let parents: HashSet<EntityUid> = parents.into_iter().collect();
    Entity::new(uid, attributes.into_iter().collect(), parents).map_err(|e| e.to_string())
}

fn name(name: &str) -> (String, Value) {
    ("name".into(), Value::new_string(name.into()))
}

fn models_of(models: &HashSet<Box<str>>) -> (String, Value) {
    ("models".into(), texts(models))
}

/// A key is in its team and, if it belongs to somebody, in its user.
fn keys(state: &State, teams: &HashMap<TeamId, &str>) -> Result<Vec<Entity>, String> {
    let users: HashMap<UserId, &str> = state.users.iter().map(|u| (u.id, u.name.as_str())).collect();
    let mut all: BTreeMap<String, Entity> = BTreeMap::new();
    for key in state.keys.iter().filter(|k| k.revoked.is_none()) {
        let Some(team) = teams.get(&key.team) else { continue };
        let team_uid = uid(Kind::Team, team);
        let id = format!("{team}/{}", key.name);
        let mut attributes = vec![
            name(&key.name),
            ("team".into(), Value::new_entity_uid(team_uid.clone())),
            ("role".into(), Value::new_string(key.role.name().into())),
        ];
        attributes.extend(key.models.as_ref().map(|models| ("models".into(), texts(models))));
        let user = key.user.and_then(|id| users.get(&id)).map(|name| uid(Kind::User, name));
        let parents = user.into_iter().chain([team_uid]);
        let kind = if key.role == Role::Agent { Kind::Agent } else { Kind::Service };
        all.insert(id.clone(), entity(uid(kind, &id), attributes, parents)?);
    }
    Ok(all.into_values().collect())
}

/// A user is in the teams of their live keys, and may use what these may use
/// together. Keys of agents do not count: what they may is what is asked for.
fn users(
    state: &State,
    teams: &HashMap<TeamId, &str>,
    catalogues: &HashMap<Box<str>, HashSet<Box<str>>>,
) -> Result<Vec<Entity>, String> {
    /// `None`: every model.
    type Models<'a> = Option<BTreeSet<&'a str>>;
    let mut of: HashMap<UserId, (BTreeSet<&str>, Models<'_>)> = HashMap::new();
    for key in state.keys.iter().filter(|k| k.revoked.is_none() && k.role != Role::Agent) {
        let (Some(user), Some(team)) = (key.user, teams.get(&key.team)) else { continue };
        let granted = key.models.as_ref().map(|m| m.iter().map(String::as_str).collect::<BTreeSet<_>>());
        let catalogue = catalogues.get(*team).map(|m| m.iter().map(AsRef::as_ref).collect::<BTreeSet<_>>());
        let models = match (granted, catalogue) {
            (Some(a), Some(b)) => Some(&a & &b),
            (a, b) => a.or(b),
        };
        let (in_teams, all) = of.entry(user).or_insert_with(|| (BTreeSet::new(), Some(BTreeSet::new())));
        in_teams.insert(team);
        match (all.as_mut(), models) {
            (Some(all), Some(models)) => all.extend(models),
            _ => *all = None,
        }
    }
    let mut entities = Vec::with_capacity(state.users.len());
    for user in &state.users {
        // Who has no key has no list either: their role bounds what they may do.
        let (in_teams, models) = of.remove(&user.id).unwrap_or_default();
        let mut attributes = vec![name(&user.name)];
        attributes.extend(models.map(|models| ("models".into(), texts(models))));
        let parents = in_teams.iter().map(|team| uid(Kind::Team, team));
        entities.push(entity(uid(Kind::User, &user.name), attributes, parents)?);
    }
    Ok(entities)
}

fn model(model: &ModelFacts<'_>) -> Result<Entity, String> {
    let zones: BTreeSet<&str> = model.places.iter().flat_map(|p| &p.zones).map(Zone::as_str).collect();
    let ceiling = model.places.iter().map(|p| p.ceiling).max().unwrap_or_default();
    let external = !model.places.is_empty() && model.places.iter().all(|p| p.kind == PlaceKind::External);
    let mut attributes = vec![
        name(model.name),
        ("providers".into(), texts(&model.providers)),
        ("zones".into(), texts(zones)),
        ("ceiling".into(), Value::new_long(ceiling as i64)),
        ("external".into(), Value::new_bool(external)),
    ];
    attributes.extend(model.digest.map(|digest| ("digest".into(), Value::new_string(digest.into()))));
    entity(uid(Kind::Model, model.name), attributes, [])
}
