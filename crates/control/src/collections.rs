//! Collections: what is put into them, and what a caller may read of them.
//!
//! The tenant is the team of whoever asks, never a field of the request. Every
//! read goes through the caller's own [`Reader`], which comes from the matched
//! key alone; a collection's id, or its name, opens nothing (TRAPS X8).

use policy::{Act, Facts, Object, Principal};
use report::Report;
use retrieval::{Content, Found, Query, Shown, Wish};
use store::State;
use store::documents::{Acl, Answer, Change, Chunk, Collection, Document, Lexing, Reader, Subject, Trust};
use units::{Day, Labels, Micros, Usd};

use crate::access::check_name;
use crate::call::{Call, Outcome, json};
use crate::{Plane, missing, policies, ranking};

/// Documents on a page, unless told and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;
/// Parts of a document that a preview shows.
const PREVIEW_PARTS: usize = 200;
/// Parts that a search returns, unless told and at most.
const K: u32 = 8;
const K_MAX: u32 = 100;

pub(crate) fn list(plane: &Plane, call: &Call) -> Outcome {
    let reader = call.principal.reader();
    let all = plane.collections.list(&reader).map_err(|e| e.report())?;
    let seen = all.iter().filter(|c| may_retrieve(plane, &call.principal, &c.collection).is_ok());
    json(&api::List::from(seen.map(|c| show(c, &call.principal)).collect::<Vec<_>>()))
}

pub(crate) fn create(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::CreateCollection = call.read()?;
    check_name("collection", &wanted.name)?;
    let wish = Wish {
        name: wanted.name,
        language: language(wanted.language)?,
        lexing: wanted.lexing.as_deref().map(lexing).transpose()?,
        acl: wanted.acl.as_deref().map_or(Ok(Acl::team()), acl)?,
        labels: wanted.labels.as_deref().map_or(Ok(Labels::default()), labels)?,
        embedder: wanted.embedder.as_deref().map_or(Ok(None), |name| embedder(plane, name))?,
        graph: wanted.graph,
        ranking: ranking::wanted(plane, &wanted.ranking)?,
    };
    let who = &call.principal;
    plane.collections.create(who.team, &wish, call.now).map_err(|e| e.report())?;
    let made = plane.collections.show(&who.reader(), &wish.name).map_err(|e| e.report())?;
    json(&show(&made, who))
}

pub(crate) fn show_one(plane: &Plane, call: &Call) -> Outcome {
    json(&show(&counted(plane, call)?, &call.principal))
}

/// With all that is in it. One that a manifest declares is deleted by taking the manifest back.
pub(crate) fn delete(plane: &Plane, call: &Call) -> Outcome {
    let shown = counted(plane, call)?;
    let name = &shown.collection.name;
    if let Some(declared) = declared(&plane.state()?, &call.principal.team_name, name) {
        return Err(Report::new("CT0004", format!("the collection \"{name}\" is declared"))
            .because(format!("the manifest Collection \"{declared}\" would make it again"))
            .hint("take the manifest out and apply with `--prune`")
            .into());
    }
    plane.collections.remove(call.principal.team, shown.collection.id).map_err(|e| e.report())?;
    json(&show(&shown, &call.principal))
}

/// The name of the manifest that declares a team's collection.
fn declared(state: &State, team: &str, name: &str) -> Option<String> {
    let row =
        state.manifests.iter().find(|m| m.kind == manifest::Kind::Collection.name() && m.name == name)?;
    let documents = manifest::parse(&row.text, &row.name).unwrap_or_default();
    let of_team = |d: &manifest::Document| matches!(&d.spec, manifest::Spec::Collection(c) if c.team == team);
    documents.into_iter().find(of_team).map(|d| d.name)
}

pub(crate) fn list_documents(plane: &Plane, call: &Call) -> Outcome {
    let collection = found(plane, call)?;
    let limit = page(call)?;
    let reader = call.principal.reader();
    let page = plane.collections.documents(&reader, &collection, call.query("after"), limit);
    let page: Vec<api::Document> = page.map_err(|e| e.report())?.iter().map(show_document).collect();
    json(&api::List::from(page))
}

pub(crate) fn put_document(plane: &Plane, call: &Call) -> Outcome {
    let collection = found(plane, call)?;
    let source = call.query("source").filter(|s| !s.is_empty()).ok_or_else(|| {
        Report::new("CT0002", "the parameter \"source\" is missing")
            .because("a document is known by where it comes from")
            .hint("add `?source=handbook/leave.md`")
    })?;
    let content = Content {
        source,
        title: call.query("title"),
        media_type: &call.media_type,
        bytes: &call.body,
        acl: call.query("acl").map(|text| acl(&split(text))).transpose()?,
        labels: call.query("labels").map_or(Ok(Labels::default()), labels)?,
        batch: call.query("batch").unwrap_or(source),
        modified: call.query("modified").map(day).transpose()?,
    };
    let lent = plane.host.lend(&call.principal, format!("a document of collection {}", collection.name));
    let stored = plane.collections.put(&call.principal.reader(), &collection, &content, &*lent, call.now);
    let stored = stored.map_err(|e| e.report())?;
    json(&api::DocumentChange {
        id: stored.put.document.to_string(),
        source: source.into(),
        version: stored.put.version,
        change: change_name(stored.put.change).into(),
        chunks: stored.put.added.len() as u64,
        answers_invalidated: stored.put.invalidated.answers,
        notes: stored.notes,
    })
}

pub(crate) fn delete_document(plane: &Plane, call: &Call) -> Outcome {
    let collection = found(plane, call)?;
    // Only what the caller can see: what it cannot is as if it were not there.
    let document = document(plane, call, &collection)?;
    let removed = plane.collections.remove_document(call.principal.team, &collection, document.id);
    let removed = removed.map_err(|e| e.report())?;
    json(&api::DocumentChange {
        id: document.id.to_string(),
        source: document.source,
        version: document.version,
        change: "removed".into(),
        chunks: removed.as_ref().map_or(0, |r| r.chunks.len() as u64),
        answers_invalidated: removed.as_ref().map_or(0, |r| r.invalidated.answers),
        notes: Vec::new(),
    })
}

pub(crate) fn show_document_text(plane: &Plane, call: &Call) -> Outcome {
    let collection = found(plane, call)?;
    let document = document(plane, call, &collection)?;
    if document.trust == Trust::Quarantined {
        return Err(Report::new("CX0016", "the document is in quarantine")
            .because("the source that brought it in was not released")
            .hint(format!("`bedplate collection quarantine {}` shows what waits", collection.name))
            .into());
    }
    let reader = call.principal.reader();
    preview(call, &document, |from, limit| plane.collections.text(&reader, document.id, from, limit))
}

/// A page of a document's parts, as `text` gives them.
pub(crate) fn preview(
    call: &Call,
    document: &Document,
    text: impl FnOnce(u32, usize) -> Result<Vec<Chunk>, retrieval::Error>,
) -> Outcome {
    let from = match call.query("from") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| Report::new("CT0002", format!("from is \"{text:.20}\"; write a number")))?,
    };
    let chunks = text(from, PREVIEW_PARTS + 1).map_err(|e| e.report())?;
    let more = chunks.len() > PREVIEW_PARTS;
    let parts = chunks.into_iter().take(PREVIEW_PARTS).map(|chunk| api::Passage {
        heading: chunk.heading,
        start: chunk.span.start,
        end: chunk.span.end,
        text: chunk.text,
    });
    json(&api::DocumentPreview { document: show_document(document), parts: parts.collect(), more })
}

pub(crate) fn search(plane: &Plane, call: &Call) -> Outcome {
    let asked: api::SearchCollection = call.read()?;
    let collection = found(plane, call)?;
    let k = asked.k.unwrap_or(K);
    if !(1..=K_MAX).contains(&k) {
        return Err(Report::new("CT0002", format!("k is {k}; write 1 to {K_MAX}")).into());
    }
    let own = call.principal.reader();
    let reader = match &asked.as_user {
        None => own.clone(),
        Some(user) => as_user(plane, call, user)?,
    };
    // What somebody asks is nobody's document; their team's labels are joined where the model is asked.
    let labels = Labels::default();
    if asked.also.len() > retrieval::ALSO_MAX {
        let what =
            format!("`also` has {} phrasings; write at most {}", asked.also.len(), retrieval::ALSO_MAX);
        return Err(Report::new("CT0002", what).into());
    }
    let query = Query {
        also: &asked.also,
        source: asked.source.as_deref(),
        graph: asked.graph,
        rerank: ranking::of_search(&asked)?,
        ..Query::new(&asked.query, k as usize, &labels, call.now)
    };
    // Whoever asks pays, not the one as whom they ask.
    let lent = plane.host.lend(&call.principal, format!("a question to collection {}", collection.name));
    let ranking = plane
        .host
        .lend_ranking(&call.principal, format!("the order of what collection {} has", collection.name));
    let found = plane.collections.search_by(&reader, &collection, &query, &*lent, Some(&*ranking));
    let found = found.map_err(|e| e.report())?;
    // Who looks for another sees what that one would be given, not what it says.
    let readable = match &asked.as_user {
        None => None,
        Some(_) => Some(plane.collections.readable(&own, &found.evidence).map_err(|e| e.report())?),
    };
    let mut shown = show_found(found, asked.explain, readable.as_deref());
    if let Some(explain) = shown.explain.as_mut().filter(|_| readable.is_some()) {
        (explain.by_words, explain.by_vectors) = (Vec::new(), Vec::new());
    }
    json(&shown)
}

pub(crate) fn show_graph(plane: &Plane, call: &Call) -> Outcome {
    let collection = found(plane, call)?;
    let entity = call.query("entity").filter(|name| !name.trim().is_empty()).ok_or_else(|| {
        Report::new("CT0002", "the parameter \"entity\" is missing")
            .because("a graph is looked at from one of its names")
            .hint("add `?entity=payment%20gateway`")
    })?;
    let limit = page(call)?;
    let reader = call.principal.reader();
    let around = plane.collections.neighbours(&reader, &collection, entity, limit);
    let edges = around.map_err(|e| e.report())?.into_iter().map(|edge| api::GraphEdge {
        from: edge.from,
        relation: edge.relation,
        to: edge.to,
        document: edge.chunk.document.to_string(),
        version: edge.chunk.version,
        source: edge.chunk.source,
        heading: edge.chunk.heading,
        start: edge.chunk.span.start,
        end: edge.chunk.span.end,
        labels: edge.chunk.labels.join(&collection.labels).to_string(),
    });
    json(&api::CollectionGraph { entity: entity.into(), edges: edges.collect() })
}

/// A step towards another embedder; the client repeats it until it is live.
pub(crate) fn reindex(plane: &Plane, call: &Call) -> Outcome {
    let asked: api::ReindexCollection = call.read()?;
    let collection = found(plane, call)?;
    let wanted = match &asked.embedder {
        None => None,
        Some(name) => Some(embedder(plane, name)?.unwrap_or_else(|| manifest::BUILTIN_EMBEDDER.into())),
    };
    let lent = plane.host.lend(&call.principal, format!("a new index of collection {}", collection.name));
    let step = plane.collections.reindex(call.principal.team, &collection, wanted.as_deref(), &*lent);
    let step = step.map_err(|e| e.report())?;
    json(&api::Reindexed {
        collection: collection.name,
        embedder: step.embedder,
        generation: step.generation,
        embedded: step.embedded,
        left: step.left,
        live: step.live,
    })
}

/// The model of a name, as a collection keeps it; `None`: the built-in embedder.
fn embedder(plane: &Plane, name: &str) -> Result<Option<String>, Report> {
    if name == manifest::BUILTIN_EMBEDDER {
        return Ok(None);
    }
    let named = |model: &api::Model| model.name == name || model.aliases.iter().any(|alias| alias == name);
    if plane.host.models().iter().any(named) {
        return Ok(Some(name.to_owned()));
    }
    Err(Report::new("CT0003", format!("there is no model \"{name:.100}\" to embed with"))
        .hint(format!("`bedplate model list` shows all; `{}` is built in", manifest::BUILTIN_EMBEDDER)))
}

pub(crate) fn show_answer(plane: &Plane, call: &Call) -> Outcome {
    let answer = kept(plane, call)?;
    let reader = call.principal.reader();
    let judged = plane.collections.judged(&reader, answer.id, call.now).map_err(|e| e.report())?;
    json(&show_kept(&answer, judged))
}

pub(crate) fn revoke_answer(plane: &Plane, call: &Call) -> Outcome {
    let answer = kept(plane, call)?;
    let reader = call.principal.reader();
    let judged = plane.collections.judged(&reader, answer.id, call.now).map_err(|e| e.report())?;
    plane.collections.revoke_answer(call.principal.team, answer.id).map_err(|e| e.report())?;
    json(&show_kept(&answer, judged))
}

/// A cached answer that the caller might be given.
fn kept(plane: &Plane, call: &Call) -> Result<Answer, Report> {
    let none =
        || missing("answer", call.param(0), "`bedplate explain` names the answer that a request was given");
    let id = call.param(0).parse().map_err(|_| none())?;
    let found = plane.collections.answer_by_id(&call.principal.reader(), id, call.now);
    found.map_err(|e| e.report())?.ok_or_else(none)
}

fn show_kept(answer: &Answer, (compared, right, right_at_least): (u32, u32, f64)) -> api::CachedAnswer {
    let used = answer.dependencies.iter();
    api::CachedAnswer {
        id: answer.id.to_string(),
        question: answer.question.clone(),
        labels: answer.labels.to_string(),
        saves_usd: Usd::from_pico(answer.cost_pico).to_string(),
        documents: used
            .map(|d| api::UsedDocument { id: d.document.to_string(), version: d.version })
            .collect(),
        turns: answer.turns.iter().map(ToString::to_string).collect(),
        near: (compared > 0).then_some(api::NearRecord { compared, right, right_at_least }),
        created: answer.created.to_string(),
        expires: answer.expires.to_string(),
    }
}

/// The reader that a user of the team is: by the name that their keys have.
fn as_user(plane: &Plane, call: &Call, user: &str) -> Result<Reader, Report> {
    policy::allows(&call.principal, policy::Action::ManageAccess).map_err(|d| d.report())?;
    let state = plane.state()?;
    let known = state.users.iter().find(|u| u.name == user && u.org == call.principal.org);
    let known = known.ok_or_else(|| missing("user", user, "`bedplate user list` shows all"))?;
    let in_team =
        |k: &store::Key| k.user == Some(known.id) && k.team == call.principal.team && k.revoked.is_none();
    if !state.keys.iter().any(in_team) {
        return Err(missing(
            "user",
            user,
            format!("no live key of theirs is in the team \"{}\"", call.principal.team_name),
        ));
    }
    observe::info!("collection.searched_as", user = user, key = &*call.principal.key_name);
    // As documents see people: a name that two have, but for upper case, opens nothing.
    let alike = state.users.iter().filter(|u| u.name.to_lowercase() == known.name.to_lowercase()).count();
    let subject = (alike == 1).then(|| Subject::user(&known.name));
    Ok(Reader::new(call.principal.team, subject))
}

/// The collection that a path names, if the policy set lets the caller at it.
pub(crate) fn found(plane: &Plane, call: &Call) -> Result<Collection, Report> {
    let found = plane.collections.find(&call.principal.reader(), call.param(0)).map_err(|e| e.report())?;
    may_retrieve(plane, &call.principal, &found)?;
    Ok(found)
}

/// The same, with what the caller may read of it.
pub(crate) fn counted(plane: &Plane, call: &Call) -> Result<Shown, Report> {
    let name = found(plane, call)?.name;
    plane.collections.show(&call.principal.reader(), &name).map_err(|e| e.report())
}

fn may_retrieve(plane: &Plane, who: &Principal, collection: &Collection) -> Result<(), Report> {
    let labels = &collection.labels;
    let object = Object::collection(&collection.name, &[&*who.team_name], labels.sensitivity);
    let facts = Facts::new(labels, "retrieval");
    policies::allows_on(
        plane,
        who,
        Act::Retrieve,
        &object,
        &facts,
        &format!("collection \"{}\"", collection.name),
    )
}

/// By its id, or by its source.
pub(crate) fn document(plane: &Plane, call: &Call, collection: &Collection) -> Result<Document, Report> {
    let name = call.param(1);
    let found = plane.collections.document(&call.principal.reader(), collection, name);
    found.map_err(|e| e.report())?.ok_or_else(|| {
        missing(
            "document",
            name,
            format!("`bedplate collection status {}` shows those that you may read", collection.name),
        )
    })
}

/// How many of a list are wanted.
pub(crate) fn page(call: &Call) -> Result<usize, Report> {
    match call.query("limit") {
        None => Ok(PAGE),
        Some(text) => {
            text.parse().ok().filter(|n| (1..=PAGE_MAX).contains(n)).ok_or_else(|| {
                Report::new("CT0002", format!("limit is \"{text:.20}\"; write 1 to {PAGE_MAX}"))
            })
        }
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(|s| s.trim().to_owned()).collect()
}

pub(crate) fn acl(words: &[String]) -> Result<Acl, Report> {
    let wrong = |why: String| {
        Report::new("CT0002", "the list of readers cannot be used")
            .because(why)
            .hint("write `team`, `user:EMAIL`, `key:ID` or `group:NAME`, with commas between them")
    };
    let subjects: Result<Vec<Subject>, _> = words.iter().map(|word| word.parse()).collect();
    Acl::new(subjects.map_err(|e: store::documents::AccessError| wrong(e.to_string()))?)
        .map_err(|e| wrong(e.to_string()))
}

fn labels(text: &str) -> Result<Labels, Report> {
    policy::raised(text).map_err(|why| {
        Report::new("CT0002", "the labels cannot be read").because(why).hint("such as `confidential eu`")
    })
}

fn language(tag: Option<String>) -> Result<String, Report> {
    let tag = tag.unwrap_or_else(|| "und".into());
    let sound = (2..=35).contains(&tag.len())
        && tag.as_bytes()[0].is_ascii_alphabetic()
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if sound {
        return Ok(tag);
    }
    Err(Report::new("CT0002", format!("\"{tag:.40}\" is not a language tag"))
        .hint("such as `en`, `de-CH` or `zh-Hant`"))
}

fn lexing(name: &str) -> Result<Lexing, Report> {
    Lexing::from_name(name).ok_or_else(|| {
        Report::new("CT0002", format!("lexing is \"{name:.40}\"; write stemmed, words or trigrams"))
    })
}

fn day(text: &str) -> Result<Micros, Report> {
    let day: Result<Day, _> = text.parse();
    day.map(Day::start).map_err(|e| Report::new("CT0002", e.to_string()))
}

pub(crate) fn show(shown: &Shown, who: &Principal) -> api::Collection {
    let c = &shown.collection;
    api::Collection {
        id: c.id.to_string(),
        name: c.name.clone(),
        team: who.team_name.to_string(),
        language: c.language.clone(),
        lexing: c.lexing.name().into(),
        embedder: c.live.embedder.clone(),
        generation: c.live.number,
        embedder_wanted: shown.wanted.clone(),
        acl: subjects(&shown.acl),
        labels: c.labels.to_string(),
        graph: shown.graph,
        ranking: ranking::show(&shown.ranking),
        gate: shown.gate.as_ref().map(|fitted| ranking::show_gate(fitted, &c.live.embedder)),
        documents: shown.counts.documents,
        chunks: shown.counts.chunks,
        quarantined: shown.counts.quarantined,
        created: c.created.to_string(),
    }
}

fn subjects(acl: &Acl) -> Vec<String> {
    acl.subjects().map(ToString::to_string).collect()
}

pub(crate) fn show_document(d: &Document) -> api::Document {
    api::Document {
        id: d.id.to_string(),
        source: d.source.clone(),
        version: d.version,
        hash: d.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        title: d.title.clone(),
        format: d.format.clone(),
        acl: subjects(&d.acl),
        labels: d.labels.to_string(),
        trust: d.trust.name().into(),
        batch: d.batch.clone(),
        chunks: d.chunks,
        bytes: d.bytes,
        created: d.created.to_string(),
        updated: d.updated.to_string(),
    }
}

const fn change_name(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Replaced => "replaced",
        Change::Regraded => "regraded",
        Change::Unchanged => "unchanged",
    }
}

/// What a stage took, and what of it was a model's.
fn stage(name: &str, us: u64, spent: &[store::Spent]) -> api::StageCost {
    let spent = spent.iter().find(|spent| spent.stage == name);
    api::StageCost {
        name: name.into(),
        us,
        tokens: spent.map(|spent| spent.tokens),
        cost_usd: spent.map(|spent| spent.cost.to_string()),
        request_id: spent.map(|spent| spent.request.to_string()),
    }
}

/// `readable`: which of them the caller may read, if it searched as another. What a walk came
/// by is named by passages that are not among them, so then it is not shown at all.
fn show_found(found: Found, explain: bool, readable: Option<&[bool]>) -> api::SearchResult {
    let evidence = found.evidence.into_iter().enumerate().map(|(n, e)| {
        let may = readable.is_none_or(|r| r[n]);
        let or_nothing = |text: String| if may { text } else { String::new() };
        api::Evidence {
            rank: n as u32 + 1,
            document: e.chunk.document.to_string(),
            version: e.chunk.version,
            source: or_nothing(e.chunk.source),
            title: or_nothing(e.chunk.title),
            heading: or_nothing(e.chunk.heading),
            start: e.chunk.span.start,
            end: e.chunk.span.end,
            text: may.then_some(e.chunk.text),
            score: e.score,
            relevance: e.relevance,
            labels: e.chunk.labels.to_string(),
            trust: e.chunk.trust.name().into(),
            lexical_rank: e.lexical_rank,
            dense_rank: e.dense_rank,
            fused_rank: e.fused_rank,
            rerank_score: e.rerank,
            graph_rank: e.graph_rank,
            path: if readable.is_none() { e.path } else { Vec::new() },
            lowered: e.lowered,
            copies: e.copies,
        }
    });
    let e = found.explained;
    api::SearchResult {
        evidence: evidence.collect(),
        accuracy: if found.exact { "exact" } else { "approximate" }.into(),
        readable: found.readable,
        notes: found.notes,
        explain: explain.then(|| api::SearchExplained {
            embedder: e.embedder,
            gate: e.gate,
            reranker: e.reranker,
            counted: e.counted,
            lexical_hits: e.lexical_hits,
            dense_hits: e.dense_hits,
            classes: e.classes,
            graph: e.walk.map(|walk| api::GraphWalk {
                entities: if readable.is_none() { walk.named } else { Vec::new() },
                names: walk.names,
                edges: walk.edges,
            }),
            left_out: e.left_out,
            by_words: e.by_words,
            by_vectors: e.by_vectors,
            stages: e.stages.iter().map(|(name, us)| stage(name, *us, &e.spent)).collect(),
        }),
    }
}
