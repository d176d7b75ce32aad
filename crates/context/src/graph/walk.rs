//! From a question to the chunks that the graph leads to: personalised PageRank.
//!
//! The walk begins at the names in the question and at the best chunks of full text, asks
//! for the edges around them, and around what those lead to, up to [`HOPS`] times. Over what
//! it was given, which is what the reader may see and nothing else, weight flows from those
//! beginnings along edges and returns to them with each step's other half (HippoRAG, Gutiérrez
//! et al. 2024, damps by the same half). A name in many chunks spreads its weight thin.
//!
//! Deterministic: names are in order, steps and sizes are fixed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{MENTIONS, relations};

/// How often the walk asks for edges. A question of three documents takes two.
pub const HOPS: usize = 3;
/// Edges asked for of each name and each chunk; a name with more of them is no way on.
pub const PER_ENTITY: usize = 32;
pub const PER_CHUNK: usize = 48;
/// Names that are asked about in one step: 256 of 32 edges are 8,192 rows of the store,
/// some 20 ms.
const ASKED_MAX: usize = 256;
/// Edges that are walked over.
const EDGES_MAX: usize = 16_384;
/// The share of the weight that returns to the question in each step.
const RESTART: f64 = 0.5;
/// After so many steps less than a millionth is still under way.
const STEPS: usize = 20;
/// Of the beginning weight, what the question's own names have; the best chunks have the rest.
/// Between .6 and .8 it finds the same (`retrieval`'s `tests::hops`); at .4 too much begins elsewhere.
const NAMED: f64 = 0.8;
/// Names in the explanation of one passage.
const PATH_MAX: usize = HOPS + 2;

/// An edge as the reader may see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: String,
    pub relation: String,
    pub to: String,
    pub chunk: u64,
}

/// A chunk that the walk has come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    pub chunk: u64,
    /// Its share of the weight that came by edges, more than zero.
    pub score: f32,
    /// The names by which it was reached, from one of the question's or of a passage's that
    /// its words had found.
    pub path: Vec<String>,
}

/// A walk under way. [`Walk::asks`] → the caller brings the edges → [`Walk::learn`], until
/// nothing is asked; then [`Walk::reached`].
#[derive(Clone, Debug)]
pub struct Walk {
    /// Names that the question may mean, with what was found of them.
    named: BTreeSet<String>,
    /// The best chunks of full text and their weight.
    chunks: BTreeMap<u64, f64>,
    edges: BTreeSet<Edge>,
    /// Names that were asked about.
    known: BTreeSet<String>,
    next: Vec<String>,
    hops: usize,
}

impl Walk {
    /// `best`: what full text has found, with its scores; a few are enough.
    pub fn new(question: &str, best: &[(u64, f32)]) -> Walk {
        let chunks = best.iter().filter(|(_, score)| score.is_finite() && *score > 0.0);
        Walk {
            named: BTreeSet::new(),
            chunks: chunks.map(|(chunk, score)| (*chunk, f64::from(*score))).collect(),
            edges: BTreeSet::new(),
            known: BTreeSet::new(),
            next: relations::asked(question),
            hops: 0,
        }
    }

    /// The chunks whose edges the walk begins with.
    pub fn begins_at(&self) -> impl Iterator<Item = u64> {
        self.chunks.keys().copied()
    }

    /// The names whose edges it needs next; empty when it needs no more.
    pub fn asks(&self) -> &[String] {
        if self.hops >= HOPS || self.edges.len() >= EDGES_MAX { &[] } else { &self.next }
    }

    /// Edges of the chunks that it begins at.
    pub fn learn_of_chunks(&mut self, edges: impl IntoIterator<Item = Edge>) {
        self.edges.extend(edges);
    }

    /// Edges of the names that it asked about: with those it goes on.
    pub fn learn(&mut self, edges: impl IntoIterator<Item = Edge>) {
        let asked = std::mem::take(&mut self.next);
        for edge in edges {
            if self.edges.len() < EDGES_MAX {
                self.edges.insert(edge);
            }
        }
        if self.hops == 0 {
            self.named = self.meant(&asked);
        }
        self.known.extend(asked);
        self.hops += 1;
        // What most edges lead to first: it is what more than one way leads to.
        let mut degrees: BTreeMap<&str, usize> = BTreeMap::new();
        for edge in &self.edges {
            for name in [&edge.from, &edge.to] {
                if !self.known.contains(name) {
                    *degrees.entry(name).or_default() += 1;
                }
            }
        }
        let mut next: Vec<(usize, &str)> = degrees.into_iter().map(|(name, n)| (n, name)).collect();
        next.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        self.next = next.into_iter().take(ASKED_MAX).map(|(_, name)| name.to_owned()).collect();
    }

    /// Of the runs of words that there are edges of, those that are not a part of a longer one.
    fn meant(&self, asked: &[String]) -> BTreeSet<String> {
        let there: BTreeSet<&str> = self.edges.iter().flat_map(|e| [&*e.from, &*e.to]).collect();
        let mut meant: Vec<&String> = Vec::new();
        // Longer runs come first.
        for run in asked.iter().filter(|run| there.contains(run.as_str())) {
            let spaced = format!(" {run} ");
            if !meant.iter().any(|longer| format!(" {longer} ").contains(&spaced)) {
                meant.push(run);
            }
        }
        meant.into_iter().cloned().collect()
    }

    /// The question's names that the graph knows.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(String::as_str)
    }
    pub fn edges(&self) -> usize {
        self.edges.len()
    }
    pub fn names(&self) -> usize {
        self.edges.iter().flat_map(|e| [&e.from, &e.to]).collect::<BTreeSet<_>>().len()
    }

    /// The chunks that it came to, by their weight; equals by their numbers.
    pub fn reached(&self) -> Vec<Reached> {
        let graph = Graph::of(&self.edges);
        let begin = self.beginning(&graph);
        let weight = graph.spread(&begin);
        // What returned to where it began says only that words had found it, and they say so
        // themselves: without it nothing of two hops would ever pass the beginnings.
        let came = |node: usize| weight[node] - RESTART * begin[node];
        let paths = self.paths(&graph);
        let mut reached: Vec<Reached> = graph
            .chunks
            .iter()
            .filter(|(_, node)| came(**node) > 1e-12)
            .map(|(chunk, node)| Reached {
                chunk: *chunk,
                score: came(*node) as f32,
                path: graph.path_to(*node, &paths),
            })
            .collect();
        reached.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
        reached
    }

    /// The weight that everything begins with: a name's by how few chunks have it, a chunk's by
    /// its score. It sums to one, or is zero throughout.
    fn beginning(&self, graph: &Graph<'_>) -> Vec<f64> {
        let mut weight = vec![0.0; graph.ways.len()];
        let named = self.named.iter().filter_map(|name| graph.names.get(name.as_str()));
        let named: Vec<(usize, f64)> =
            named.map(|node| (*node, 1.0 / graph.ways[*node].len().max(1) as f64)).collect();
        let chunks: Vec<(usize, f64)> =
            self.chunks.iter().filter_map(|(c, score)| Some((*graph.chunks.get(c)?, *score))).collect();
        let share = match (named.is_empty(), chunks.is_empty()) {
            (false, false) => NAMED,
            (false, true) => 1.0,
            (true, _) => 0.0,
        };
        for (part, of) in [(share, &named), (1.0 - share, &chunks)] {
            let sum: f64 = of.iter().map(|(_, w)| w).sum();
            of.iter().for_each(|(node, w)| weight[*node] += if sum > 0.0 { part * w / sum } else { 0.0 });
        }
        weight
    }

    /// By which node each was first come to, breadth first: from the question's names, and what they
    /// do not lead to from the passages.
    fn paths(&self, graph: &Graph<'_>) -> Vec<Option<usize>> {
        let mut from = vec![None; graph.ways.len()];
        let named = self.named.iter().filter_map(|name| graph.names.get(name.as_str()));
        graph.reach(named, &mut from);
        graph.reach(self.chunks.keys().filter_map(|chunk| graph.chunks.get(chunk)), &mut from);
        from
    }
}

/// Names and chunks as nodes; ways in both directions.
struct Graph<'e> {
    names: BTreeMap<&'e str, usize>,
    chunks: BTreeMap<u64, usize>,
    /// The name of a node; `None` for a chunk.
    called: Vec<Option<&'e str>>,
    ways: Vec<Vec<(usize, f64)>>,
}

impl<'e> Graph<'e> {
    fn of(edges: &'e BTreeSet<Edge>) -> Graph<'e> {
        let names: BTreeSet<&str> = edges.iter().flat_map(|e| [&*e.from, &*e.to]).collect();
        let chunks: BTreeSet<u64> = edges.iter().map(|e| e.chunk).collect();
        let called: Vec<Option<&str>> =
            names.iter().copied().map(Some).chain(chunks.iter().map(|_| None)).collect();
        let names: BTreeMap<&str, usize> = names.into_iter().zip(0..).collect();
        let chunks: BTreeMap<u64, usize> = chunks.into_iter().zip(names.len()..).collect();
        let mut between: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        for edge in edges {
            let (from, to) = (names[edge.from.as_str()], names[edge.to.as_str()]);
            let chunk = chunks[&edge.chunk];
            // Each name and the chunk that has it; two names only where something is said of them.
            between.insert((from, chunk), 1.0);
            between.insert((to, chunk), 1.0);
            if edge.relation != MENTIONS && from != to {
                between.insert((from.min(to), from.max(to)), 1.0);
            }
        }
        let mut ways = vec![Vec::new(); called.len()];
        for ((a, b), weight) in between {
            ways[a].push((b, weight));
            ways[b].push((a, weight));
        }
        Graph { names, chunks, called, ways }
    }

    fn spread(&self, beginning: &[f64]) -> Vec<f64> {
        let total: Vec<f64> = self.ways.iter().map(|ways| ways.iter().map(|(_, w)| w).sum()).collect();
        let mut weight = beginning.to_vec();
        for _ in 0..STEPS {
            let mut next: Vec<f64> = beginning.iter().map(|w| RESTART * w).collect();
            for (node, ways) in self.ways.iter().enumerate() {
                for (to, w) in ways {
                    next[*to] += (1.0 - RESTART) * weight[node] * w / total[node];
                }
            }
            weight = next;
        }
        weight
    }

    /// Notes of whatever is not noted yet by which node it is come to first.
    fn reach<'n>(&self, begin: impl Iterator<Item = &'n usize>, from: &mut [Option<usize>]) {
        let mut queue = VecDeque::new();
        for start in begin {
            if from[*start].is_none() {
                from[*start] = Some(*start);
                queue.push_back(*start);
            }
        }
        while let Some(node) = queue.pop_front() {
            for (next, _) in &self.ways[node] {
                if from[*next].is_none() {
                    from[*next] = Some(node);
                    queue.push_back(*next);
                }
            }
        }
    }

    fn path_to(&self, node: usize, from: &[Option<usize>]) -> Vec<String> {
        let (mut path, mut at) = (Vec::new(), node);
        while let Some(before) = from[at].filter(|before| *before != at) {
            path.extend(self.called[before].map(str::to_owned));
            at = before;
        }
        path.reverse();
        path.truncate(PATH_MAX);
        path
    }
}
