//! The declared state: written by change, read whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chat::Axis;
use rusqlite::{Connection, Row, params};
use store::{
    Approval, Budget, BudgetKind, Change, Elevation, Error, Key, KeyVersion, ManifestRow, Org, Period,
    PriceRow, Role, Scope, State, Team, User,
};
use units::{BudgetId, ElevationId, KeyId, Micros, OrgId, PicoRate, TeamId, Usd, UserId, Uuid7};

use crate::error::Sqlite;

/// The state as last committed: `load` is asked at each change of a snapshot.
pub(crate) struct Cache(Mutex<State>);

impl Cache {
    pub fn open(connection: &Connection) -> Result<Cache, Error> {
        read(connection).map(|state| Cache(Mutex::new(state)))
    }
    fn state(&self) -> MutexGuard<'_, State> {
        // It is only ever replaced whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn get(&self) -> State {
        self.state().clone()
    }
    pub fn generation(&self) -> u64 {
        self.state().generation
    }
    /// The state after the changes, which may be refused.
    pub fn applied(&self, changes: &[Change]) -> Result<State, Error> {
        let mut next = self.get();
        for change in changes {
            next.apply(change)?;
        }
        next.generation += 1;
        Ok(next)
    }
    pub fn set(&self, next: State) {
        *self.state() = next;
    }
}

/// Inside a transaction; the changes were applied to a [`State`] before, which
/// is where the rules are.
pub(crate) fn write(connection: &Connection, changes: &[Change], generation: u64) -> Result<(), Error> {
    for change in changes {
        write_one(connection, change)?;
    }
    connection
        .execute("UPDATE meta SET value = ?1 WHERE name = 'generation'", [generation as i64])
        .map(|_| ())
        .sql()
}

fn write_one(connection: &Connection, change: &Change) -> Result<(), Error> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<usize, Error> {
        connection.prepare_cached(sql).sql()?.execute(values).sql()
    };
    match change {
        Change::PutOrg(org) => run(
            "INSERT INTO orgs VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, created = excluded.created",
            params![org.id.0.as_bytes(), org.name, org.created.0],
        ),
        Change::PutTeam(team) => run(
            "INSERT INTO teams VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET org = excluded.org, name = excluded.name,
                 requests_per_minute = excluded.requests_per_minute,
                 tokens_per_minute = excluded.tokens_per_minute, created = excluded.created",
            params![
                team.id.0.as_bytes(),
                team.org.0.as_bytes(),
                team.name,
                team.requests_per_minute,
                team.tokens_per_minute.map(u64::cast_signed),
                team.created.0
            ],
        ),
        Change::PutUser(user) => run(
            "INSERT INTO users (id, org, name, role, subject, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET org = excluded.org, name = excluded.name, role = excluded.role,
                 subject = excluded.subject, created = excluded.created",
            params![
                user.id.0.as_bytes(),
                user.org.0.as_bytes(),
                user.name,
                user.role.map(Role::number),
                user.subject,
                user.created.0
            ],
        ),
        Change::PutKey(key) => return write_key(connection, key),
        Change::PutBudget(budget) => {
            let (scope, id) = match budget.scope {
                Scope::Org(id) => (0, id.0),
                Scope::Team(id) => (1, id.0),
                Scope::Key(id) => (2, id.0),
            };
            run(
                "INSERT INTO budgets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, scope = excluded.scope,
                     scope_id = excluded.scope_id, amount = excluded.amount, period = excluded.period,
                     kind = excluded.kind, created = excluded.created",
                params![
                    budget.id.0.as_bytes(),
                    budget.name,
                    scope,
                    id.as_bytes(),
                    budget.limit.pico(),
                    match budget.period {
                        Period::Day => 0,
                        Period::Month => 1,
                        Period::Total => 2,
                    },
                    match budget.kind {
                        BudgetKind::Hard => 0,
                        BudgetKind::Soft => 1,
                    },
                    budget.created.0
                ],
            )
        }
        Change::PutElevation(elevation) => return write_elevation(connection, elevation),
        Change::RemoveBudget(id) => run("DELETE FROM budgets WHERE id = ?1", params![id.0.as_bytes()]),
        Change::AddPrice(price) => return write_price(connection, price),
        Change::PutManifest(row) => run(
            "INSERT OR REPLACE INTO manifests VALUES (?1, ?2, ?3, ?4)",
            params![row.kind, row.name, row.text, row.applied.0],
        ),
        Change::RemoveManifest { kind, name } => {
            run("DELETE FROM manifests WHERE kind = ?1 AND name = ?2", params![kind, name])
        }
    }
    .map(|_| ())
}

fn write_key(connection: &Connection, key: &Key) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO keys (id, team, user, name, role, any_model, requests_per_minute, tokens_per_minute,
                 expires, revoked, created_by, created, subject)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (id) DO UPDATE SET team = excluded.team, user = excluded.user, name = excluded.name,
                 role = excluded.role, any_model = excluded.any_model,
                 requests_per_minute = excluded.requests_per_minute,
                 tokens_per_minute = excluded.tokens_per_minute, expires = excluded.expires,
                 revoked = excluded.revoked, created_by = excluded.created_by, created = excluded.created,
                 subject = excluded.subject",
        )
        .sql()?
        .execute(params![
            key.id.0.as_bytes(),
            key.team.0.as_bytes(),
            key.user.map(|id| *id.0.as_bytes()),
            key.name,
            key.role.number(),
            key.models.is_none(),
            key.requests_per_minute,
            key.tokens_per_minute.map(u64::cast_signed),
            key.expires.map(|t| t.0),
            key.revoked.map(|t| t.0),
            key.created_by.map(|id| *id.0.as_bytes()),
            key.created.0,
            key.subject
        ])
        .sql()?;
    let id = key.id.0.as_bytes();
    connection.execute("DELETE FROM key_versions WHERE key = ?1", [id]).sql()?;
    connection.execute("DELETE FROM key_models WHERE key = ?1", [id]).sql()?;
    for (n, v) in (0i64..).zip(&key.versions) {
        connection
            .prepare_cached("INSERT INTO key_versions VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
            .sql()?
            .execute(params![id, n, v.hash, v.hint, v.created.0, v.expires.map(|t| t.0)])
            .sql()?;
    }
    for (n, model) in (0i64..).zip(key.models.iter().flatten()) {
        connection
            .prepare_cached("INSERT INTO key_models VALUES (?1, ?2, ?3)")
            .sql()?
            .execute(params![id, n, model])
            .sql()?;
    }
    Ok(())
}

fn write_elevation(connection: &Connection, elevation: &Elevation) -> Result<(), Error> {
    let id = elevation.id.0.as_bytes();
    connection
        .prepare_cached(
            "INSERT INTO elevations (id, key, role, reason, lasts_us, requested, ends, ended_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (id) DO UPDATE SET ends = excluded.ends, ended_by = excluded.ended_by",
        )
        .sql()?
        .execute(params![
            id,
            elevation.key.0.as_bytes(),
            elevation.role.number(),
            elevation.reason,
            elevation.lasts_us,
            elevation.requested.0,
            elevation.ends.map(|t| t.0),
            elevation.ended_by.map(|id| *id.0.as_bytes())
        ])
        .sql()?;
    connection.execute("DELETE FROM approvals WHERE elevation = ?1", [id]).sql()?;
    for (n, approval) in (0i64..).zip(&elevation.approvals) {
        connection
            .prepare_cached("INSERT INTO approvals VALUES (?1, ?2, ?3, ?4, ?5)")
            .sql()?
            .execute(params![id, n, approval.key.0.as_bytes(), approval.user.0.as_bytes(), approval.at.0])
            .sql()?;
    }
    Ok(())
}

fn write_price(connection: &Connection, price: &PriceRow) -> Result<(), Error> {
    let added = connection
        .prepare_cached(
            "INSERT INTO prices (sku, effective_from, per_request, source) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO NOTHING",
        )
        .sql()?
        .execute(params![price.sku, price.effective_from.0, price.per_request.pico(), price.source])
        .sql()?;
    if added == 0 {
        // The same row again, as `State::apply` has made sure.
        return Ok(());
    }
    let id = connection.last_insert_rowid();
    for (n, (axis, rate)) in (0i64..).zip(&price.rates) {
        connection
            .prepare_cached("INSERT INTO price_rates VALUES (?1, ?2, ?3, ?4)")
            .sql()?
            .execute(params![id, n, axis.name(), rate.pico()])
            .sql()?;
    }
    Ok(())
}

/// The whole state.
pub(crate) fn read(connection: &Connection) -> Result<State, Error> {
    let generation: i64 = connection
        .query_row("SELECT value FROM meta WHERE name = 'generation'", [], |row| row.get(0))
        .sql()?;
    let mut keys = rows(connection, "SELECT * FROM keys ORDER BY id", read_key)?;
    let versions = rows(connection, "SELECT * FROM key_versions ORDER BY key, n", |row| {
        let version = KeyVersion {
            hash: row.get("hash")?,
            hint: row.get("hint")?,
            created: Micros(row.get("created")?),
            expires: row.get::<_, Option<i64>>("expires")?.map(Micros),
        };
        Ok((KeyId(id(row, "key")?), version))
    })?;
    let models = rows(connection, "SELECT key, model FROM key_models ORDER BY key, n", |row| {
        Ok((KeyId(id(row, "key")?), row.get("model")?))
    })?;
    let position = |keys: &[Key], id: KeyId| {
        keys.binary_search_by_key(&id, |k| k.id).map_err(|_| Error::Damaged(format!("key {id} is missing")))
    };
    for (id, version) in versions {
        let at = position(&keys, id)?;
        keys[at].versions.push(version);
    }
    for (id, model) in models {
        let at = position(&keys, id)?;
        keys[at].models.get_or_insert_default().push(model);
    }
    Ok(State {
        generation: generation as u64,
        orgs: rows(connection, "SELECT * FROM orgs ORDER BY id", |row| {
            Ok(Org {
                id: OrgId(id(row, "id")?),
                name: row.get("name")?,
                created: Micros(row.get("created")?),
            })
        })?,
        teams: rows(connection, "SELECT * FROM teams ORDER BY id", |row| {
            Ok(Team {
                id: TeamId(id(row, "id")?),
                org: OrgId(id(row, "org")?),
                name: row.get("name")?,
                requests_per_minute: row.get("requests_per_minute")?,
                tokens_per_minute: row.get::<_, Option<i64>>("tokens_per_minute")?.map(i64::cast_unsigned),
                created: Micros(row.get("created")?),
            })
        })?,
        users: rows(connection, "SELECT * FROM users ORDER BY id", |row| {
            Ok(User {
                id: UserId(id(row, "id")?),
                org: OrgId(id(row, "org")?),
                name: row.get("name")?,
                role: match row.get::<_, Option<u8>>("role")? {
                    None => None,
                    Some(_) => Some(choice(row, "role", &Role::ALL)?),
                },
                subject: row.get("subject")?,
                created: Micros(row.get("created")?),
            })
        })?,
        keys,
        budgets: rows(connection, "SELECT * FROM budgets ORDER BY id", read_budget)?,
        elevations: read_elevations(connection)?,
        prices: read_prices(connection)?,
        manifests: rows(connection, "SELECT * FROM manifests ORDER BY kind, name", |row| {
            Ok(ManifestRow {
                kind: row.get("kind")?,
                name: row.get("name")?,
                text: row.get("text")?,
                applied: Micros(row.get("applied")?),
            })
        })?,
    })
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        id: KeyId(id(row, "id")?),
        team: TeamId(id(row, "team")?),
        user: optional_id(row, "user")?.map(UserId),
        name: row.get("name")?,
        role: choice(row, "role", &Role::ALL)?,
        subject: row.get("subject")?,
        versions: Vec::new(),
        models: if row.get("any_model")? { None } else { Some(Vec::new()) },
        requests_per_minute: row.get("requests_per_minute")?,
        tokens_per_minute: row.get::<_, Option<i64>>("tokens_per_minute")?.map(i64::cast_unsigned),
        expires: row.get::<_, Option<i64>>("expires")?.map(Micros),
        revoked: row.get::<_, Option<i64>>("revoked")?.map(Micros),
        created_by: optional_id(row, "created_by")?.map(KeyId),
        created: Micros(row.get("created")?),
    })
}

fn read_budget(row: &Row<'_>) -> rusqlite::Result<Budget> {
    let of = id(row, "scope_id")?;
    let scopes = [Scope::Org(OrgId(of)), Scope::Team(TeamId(of)), Scope::Key(KeyId(of))];
    Ok(Budget {
        id: BudgetId(id(row, "id")?),
        name: row.get("name")?,
        scope: choice(row, "scope", &scopes)?,
        limit: Usd::from_pico(row.get("amount")?),
        period: choice(row, "period", &[Period::Day, Period::Month, Period::Total])?,
        kind: choice(row, "kind", &[BudgetKind::Hard, BudgetKind::Soft])?,
        created: Micros(row.get("created")?),
    })
}

fn read_elevations(connection: &Connection) -> Result<Vec<Elevation>, Error> {
    let mut elevations = rows(connection, "SELECT * FROM elevations ORDER BY id", |row| {
        Ok(Elevation {
            id: ElevationId(id(row, "id")?),
            key: KeyId(id(row, "key")?),
            role: choice(row, "role", &Role::ALL)?,
            reason: row.get("reason")?,
            lasts_us: row.get("lasts_us")?,
            requested: Micros(row.get("requested")?),
            approvals: Vec::new(),
            ends: row.get::<_, Option<i64>>("ends")?.map(Micros),
            ended_by: optional_id(row, "ended_by")?.map(KeyId),
        })
    })?;
    let approvals = rows(connection, "SELECT * FROM approvals ORDER BY elevation, n", |row| {
        let approval = Approval {
            key: KeyId(id(row, "key")?),
            user: UserId(id(row, "user")?),
            at: Micros(row.get("at")?),
        };
        Ok((ElevationId(id(row, "elevation")?), approval))
    })?;
    for (elevation, approval) in approvals {
        let at = elevations
            .binary_search_by_key(&elevation, |e| e.id)
            .map_err(|_| Error::Damaged(format!("elevation {elevation} is missing")))?;
        elevations[at].approvals.push(approval);
    }
    Ok(elevations)
}

fn read_prices(connection: &Connection) -> Result<Vec<PriceRow>, Error> {
    let mut prices = rows(connection, "SELECT * FROM prices ORDER BY id", |row| {
        let price = PriceRow {
            sku: row.get("sku")?,
            effective_from: Micros(row.get("effective_from")?),
            rates: Vec::new(),
            per_request: PicoRate::from_pico(row.get("per_request")?),
            source: row.get("source")?,
        };
        Ok((row.get::<_, i64>("id")?, price))
    })?;
    let rates = rows(connection, "SELECT price, axis, rate FROM price_rates ORDER BY price, n", |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, PicoRate::from_pico(row.get(2)?)))
    })?;
    for (price, name, rate) in rates {
        let axis = Axis::ALL.into_iter().find(|axis| axis.name() == name);
        let at = prices.binary_search_by_key(&price, |(id, _)| *id);
        let (Some(axis), Ok(at)) = (axis, at) else {
            return Err(Error::Damaged(format!("a rate of price {price} on axis \"{name}\"")));
        };
        prices[at].1.rates.push((axis, rate));
    }
    Ok(prices.into_iter().map(|(_, price)| price).collect())
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare(sql).sql()?;
    let rows = statement.query_map([], read).sql()?;
    rows.collect::<Result<_, _>>().sql()
}

fn id(row: &Row<'_>, column: &str) -> rusqlite::Result<Uuid7> {
    row.get(column).map(Uuid7::from_bytes)
}

fn optional_id(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Uuid7>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Uuid7::from_bytes))
}

/// The variant that a number stands for.
fn choice<T: Copy>(row: &Row<'_>, column: &str, choices: &[T]) -> rusqlite::Result<T> {
    let number: usize = row.get::<_, u8>(column)?.into();
    choices.get(number).copied().ok_or(rusqlite::Error::IntegralValueOutOfRange(0, number as i64))
}
