//! Answers, memory and the graph, in memory.

use std::collections::BTreeMap;

use units::{AnswerId, CollectionId, Micros, TurnId};

use super::{Inner, MemoryTenant, lexing, missing, take};
use crate::Error;
use crate::documents::{
    Answer, AnswerVector, Answers, ChunkId, Conversation, Edge, Ended, Fact, Forgotten, Graph, Lexing,
    Memory, NewAnswer, NewFact, OBSERVATIONS_MAX, PAGE_MAX, Reader, Speaker, Turn, TurnHit, check, half,
};

impl Inner {
    /// Whether it may be given: not expired, every document as it was and readable now, every turn the reader's.
    fn may_give(&self, reader: &Reader, answer: &NewAnswer, now: Micros) -> bool {
        now < answer.expires
            && answer.dependencies.iter().all(|dependency| {
                self.readable(reader, dependency.document).is_some_and(|d| d.version == dependency.version)
            })
            && answer.turns.iter().all(|id| self.turns.get(id).is_some_and(|(_, turn)| is_of(reader, turn)))
    }
    /// The reader's turns, in the order in which they were kept.
    fn turns_of(&self, reader: &Reader) -> Vec<&(u64, Turn)> {
        let mut found: Vec<&(u64, Turn)> =
            self.turns.values().filter(|(_, turn)| is_of(reader, turn)).collect();
        found.sort_by_key(|(n, _)| *n);
        found
    }
    /// Of each key the first edges that are its own, all in their order and none twice.
    fn first_edges<K>(&self, keys: &[K], each: usize, own: impl Fn(&K, &Edge) -> bool) -> Vec<Edge> {
        let mut at = std::collections::BTreeSet::new();
        for key in keys {
            let of = self.edges.iter().enumerate().filter(|(_, edge)| own(key, edge));
            at.extend(of.map(|(n, _)| n).take(each.min(PAGE_MAX)));
        }
        at.into_iter().take(PAGE_MAX).map(|n| self.edges[n].clone()).collect()
    }
    /// Facts that one which is gone had ended hold again.
    pub(super) fn reopen(&mut self) {
        let there: std::collections::HashSet<_> = self.facts.iter().map(|fact| fact.id).collect();
        for fact in &mut self.facts {
            fact.ended = fact.ended.filter(|ended| there.contains(&ended.by));
        }
    }
}

fn is_of(reader: &Reader, turn: &Turn) -> bool {
    reader.own().any(|subject| *subject == turn.owner)
}

fn given(answer: &NewAnswer) -> Answer {
    Answer {
        id: answer.id,
        question: answer.question.clone(),
        body: answer.body.clone(),
        labels: answer.labels.clone(),
        cost_pico: answer.cost_pico,
        dependencies: answer.dependencies.clone(),
        turns: answer.turns.clone(),
        created: answer.created,
        expires: answer.expires,
    }
}

impl Answers for MemoryTenant {
    fn keep_answer(&self, mut answer: NewAnswer) -> Result<bool, Error> {
        check::answer(&answer)?;
        let mut inner = self.inner();
        if inner.answers.contains_key(&answer.id) {
            return Err(Error::Exists { kind: "answer", name: answer.id.to_string() });
        }
        answer.dependencies.sort();
        answer.dependencies.dedup();
        let current = |d: &crate::documents::Dependency| {
            inner.documents.get(&d.document).is_some_and(|document| document.version == d.version)
        };
        answer.turns.sort();
        answer.turns.dedup();
        let kept = |id: &TurnId| inner.turns.contains_key(id);
        if !answer.dependencies.iter().all(current) || !answer.turns.iter().all(kept) {
            return Ok(false);
        }
        inner.answers.retain(|_, old| (old.partition, old.key) != (answer.partition, answer.key));
        inner.observed.remove(&answer.id);
        inner.answers.insert(answer.id, answer);
        Ok(true)
    }
    fn answer(
        &self,
        reader: &Reader,
        partition: &[u8; 32],
        key: &[u8; 32],
        now: Micros,
    ) -> Result<Option<Answer>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(None) };
        let found = inner.answers.values().find(|a| a.partition == *partition && a.key == *key);
        Ok(found.filter(|answer| inner.may_give(reader, answer, now)).map(given))
    }
    fn answer_by_id(&self, reader: &Reader, id: AnswerId, now: Micros) -> Result<Option<Answer>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(None) };
        Ok(inner.answers.get(&id).filter(|answer| inner.may_give(reader, answer, now)).map(given))
    }
    fn answer_vectors(
        &self,
        reader: &Reader,
        partition: &[u8; 32],
        now: Micros,
        limit: usize,
    ) -> Result<Vec<AnswerVector>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let near = |a: &&NewAnswer| {
            a.partition == *partition && !a.vector.is_empty() && inner.may_give(reader, a, now)
        };
        let mut found: Vec<&NewAnswer> = inner.answers.values().filter(near).collect();
        found.sort_by_key(|a| std::cmp::Reverse((a.created, a.id)));
        found.truncate(limit.min(PAGE_MAX));
        let row = |a: &NewAnswer| {
            let vector = half::decode(&half::encode(&a.vector)).expect("a whole number of numbers");
            AnswerVector { id: a.id, vector }
        };
        Ok(found.into_iter().map(row).collect())
    }
    fn observe_answer(&self, id: AnswerId, similarity: f32, right: bool) -> Result<bool, Error> {
        let mut inner = self.inner();
        // What was noted of answers that are gone goes when something is noted next.
        let Inner { answers, observed, .. } = &mut *inner;
        observed.retain(|id, _| answers.contains_key(id));
        if !answers.contains_key(&id) {
            return Ok(false);
        }
        let of = observed.entry(id).or_default();
        of.push((similarity, right));
        let over = of.len().saturating_sub(OBSERVATIONS_MAX);
        of.drain(..over);
        Ok(true)
    }
    fn observations(&self, reader: &Reader, id: AnswerId, now: Micros) -> Result<Vec<(f32, bool)>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let may = inner.answers.get(&id).is_some_and(|answer| inner.may_give(reader, answer, now));
        Ok(inner.observed.get(&id).filter(|_| may).cloned().unwrap_or_default())
    }
    fn revoke_answer(&self, id: AnswerId) -> Result<bool, Error> {
        Ok(self.inner().answers.remove(&id).is_some())
    }
    fn expire_answers(&self, now: Micros) -> Result<u64, Error> {
        let mut inner = self.inner();
        let expired: Vec<AnswerId> =
            inner.answers.values().filter(|a| a.expires <= now).map(|a| a.id).take(PAGE_MAX).collect();
        expired.iter().for_each(|id| drop(inner.answers.remove(id)));
        Ok(expired.len() as u64)
    }
}

impl Memory for MemoryTenant {
    fn remember(&self, turns: Vec<Turn>) -> Result<(), Error> {
        turns.iter().try_for_each(check::turn)?;
        let mut inner = self.inner();
        let mut ids = std::collections::BTreeSet::new();
        for turn in &turns {
            if inner.turns.contains_key(&turn.id) || !ids.insert(turn.id) {
                return Err(Error::Exists { kind: "turn", name: turn.id.to_string() });
            }
        }
        let next = inner.turns.values().map(|(n, _)| n + 1).max().unwrap_or_default();
        for (n, turn) in (next..).zip(turns) {
            inner.turns.insert(turn.id, (n, turn));
        }
        Ok(())
    }
    fn turns(&self, reader: &Reader, conversation: &str, limit: usize) -> Result<Vec<Turn>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let mut found = inner.turns_of(reader);
        found.retain(|(_, turn)| turn.conversation == conversation);
        let skip = found.len().saturating_sub(limit.min(PAGE_MAX));
        Ok(found.into_iter().skip(skip).map(|(_, turn)| turn.clone()).collect())
    }
    fn turn(&self, reader: &Reader, id: TurnId) -> Result<Option<Turn>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(None) };
        Ok(inner.turns.get(&id).map(|(_, turn)| turn).filter(|turn| is_of(reader, turn)).cloned())
    }
    fn all_turns(&self, reader: &Reader, after: Option<TurnId>, limit: usize) -> Result<Vec<Turn>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let found = inner.turns_of(reader);
        let skip = match after {
            None => 0,
            Some(id) => found.iter().position(|(_, turn)| turn.id == id).map_or(found.len(), |at| at + 1),
        };
        let page = found.into_iter().skip(skip).take(limit.min(PAGE_MAX));
        Ok(page.map(|(_, turn)| turn.clone()).collect())
    }
    fn conversations(&self, reader: &Reader, limit: usize) -> Result<Vec<Conversation>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let mut found: BTreeMap<&str, (u64, Conversation)> = BTreeMap::new();
        for (n, turn) in inner.turns_of(reader) {
            let name = turn.conversation.as_str();
            let new = || Conversation { name: name.into(), turns: 0, began: turn.at, last: turn.at };
            let (newest, of) = found.entry(name).or_insert_with(|| (*n, new()));
            (*newest, of.last) = (*n, turn.at);
            of.turns += 1;
        }
        let mut found: Vec<(u64, Conversation)> = found.into_values().collect();
        found.sort_by_key(|(newest, _)| std::cmp::Reverse(*newest));
        Ok(found.into_iter().map(|(_, conversation)| conversation).take(limit.min(PAGE_MAX)).collect())
    }
    fn search_turns(
        &self,
        reader: &Reader,
        conversation: Option<&str>,
        terms: &[String],
        limit: usize,
    ) -> Result<Vec<TurnHit>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let texts = inner.turns.values().map(|(n, turn)| (*n, turn.text.clone()));
        let mut hits = lexing::search(Lexing::Stemmed, texts, terms);
        let by_number = |n: u64| inner.turns.values().find(|(of, _)| *of == n).map(|(_, turn)| turn);
        hits.retain(|(n, _)| {
            by_number(*n).is_some_and(|turn| {
                is_of(reader, turn) && conversation.is_none_or(|name| name == turn.conversation)
            })
        });
        hits.truncate(limit.min(PAGE_MAX));
        let hit = |(n, score)| Some(TurnHit { turn: by_number(n)?.clone(), score });
        Ok(hits.into_iter().filter_map(hit).collect())
    }
    fn record_fact(&self, new: NewFact) -> Result<(), Error> {
        check::fact(&new)?;
        let mut inner = self.inner();
        if inner.facts.iter().any(|fact| fact.id == new.id) {
            return Err(Error::Exists { kind: "fact", name: new.id.to_string() });
        }
        let said = inner.turns.get(&new.turn).filter(|(_, turn)| {
            turn.owner == new.owner && turn.speaker == Speaker::User && new.span.end <= turn.text.len() as u64
        });
        let Some(conversation) = said.map(|(_, turn)| turn.conversation.clone()) else {
            return Err(missing("turn of the user's own", new.turn));
        };
        if let Some(document) = new.document.filter(|id| !inner.documents.contains_key(id)) {
            return Err(missing("document", document));
        }
        let last = inner.facts.iter().filter(|f| f.owner == new.owner).map(|f| f.recorded).max();
        let recorded = last.map_or(new.recorded, |last| last.max(new.recorded));
        let ended = Ended { at: new.valid_from, recorded, by: new.id };
        for fact in &mut inner.facts {
            if fact.owner == new.owner && new.replaces.contains(&fact.id) {
                fact.ended.get_or_insert(ended);
            }
        }
        inner.facts.push(Fact {
            id: new.id,
            owner: new.owner,
            about: new.about,
            relation: new.relation,
            value: new.value,
            valid_from: new.valid_from,
            valid_to: new.valid_to,
            recorded,
            ended: None,
            turn: new.turn,
            conversation,
            span: new.span,
            document: new.document,
        });
        Ok(())
    }
    fn facts(&self, reader: &Reader, valid: Micros, known: Micros, limit: usize) -> Result<Vec<Fact>, Error> {
        let mut facts = self.all_facts(reader, PAGE_MAX)?;
        facts.retain(|fact| fact.holds(valid, known));
        facts.truncate(limit);
        Ok(facts)
    }
    fn all_facts(&self, reader: &Reader, limit: usize) -> Result<Vec<Fact>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        // What came from a document is read by whoever may read that, too.
        let mine = |fact: &&Fact| {
            reader.own().any(|subject| *subject == fact.owner)
                && fact.document.is_none_or(|id| inner.readable(reader, id).is_some())
        };
        Ok(inner.facts.iter().rev().filter(mine).take(limit.min(PAGE_MAX)).cloned().collect())
    }
    fn forget(&self, reader: &Reader, conversation: Option<&str>) -> Result<Forgotten, Error> {
        let Some(mut inner) = self.for_reader(reader) else { return Ok(Forgotten::default()) };
        let before = inner.turns.len();
        let mut gone = std::collections::HashSet::new();
        inner.turns.retain(|id, (_, turn)| {
            let mine = reader.alone().any(|subject| *subject == turn.owner);
            let is = mine && conversation.is_none_or(|name| name == turn.conversation);
            if is {
                gone.insert(*id);
            }
            !is
        });
        let turns = (before - inner.turns.len()) as u64;
        let facts = take(&mut inner.facts, |fact| gone.contains(&fact.turn));
        inner.reopen();
        let before = inner.answers.len();
        inner.answers.retain(|_, answer| answer.turns.iter().all(|id| !gone.contains(id)));
        let answers = (before - inner.answers.len()) as u64;
        Ok(Forgotten { turns, facts, answers })
    }
}

impl Graph for MemoryTenant {
    fn relate(&self, edges: Vec<Edge>) -> Result<u64, Error> {
        edges.iter().try_for_each(check::edge)?;
        let mut inner = self.inner();
        let mut added = 0;
        for edge in edges {
            added += u64::from(inner.chunks.contains_key(&edge.chunk) && inner.add_edge(edge));
        }
        Ok(added)
    }
    fn edges(
        &self,
        reader: &Reader,
        collection: CollectionId,
        entities: &[String],
        per_entity: usize,
    ) -> Result<Vec<Edge>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let may = |edge: &Edge| {
            inner.found(reader, edge.chunk).is_some_and(|(document, ..)| document.collection == collection)
        };
        let at = |entity: &str, edge: &Edge| (edge.from == entity || edge.to == entity) && may(edge);
        Ok(inner.first_edges(entities, per_entity, |entity, edge| at(entity, edge)))
    }
    fn edges_of_chunks(
        &self,
        reader: &Reader,
        chunks: &[ChunkId],
        per_chunk: usize,
    ) -> Result<Vec<Edge>, Error> {
        let Some(inner) = self.for_reader(reader) else { return Ok(Vec::new()) };
        let of = |chunk: &ChunkId, edge: &Edge| edge.chunk == *chunk && inner.found(reader, *chunk).is_some();
        Ok(inner.first_edges(chunks, per_chunk, of))
    }
}
