//! A model that wants nothing but to say the secret, in many tokenisations.

use std::collections::BTreeMap;

use chat::Finish;
use proptest::prelude::*;
use units::Micros;

use super::*;
use crate::simulated::Simulated;
use crate::*;

/// Plain, encoded, one that overlaps itself, and one of several bytes a letter.
const TEXTS: [&str; 4] = ["hunter2-secret", "68756e74657232", "aaaaaaab", "pässwörd✓"];
/// Tokens of the prompt; what follows is the answer.
const PROMPT: usize = 3;

/// A kernel whose likeliest token is always the one that gets it furthest into
/// one of the texts.
struct Adversary {
    inner: Simulated,
    pieces: Vec<Vec<u8>>,
    seqs: BTreeMap<SeqId, Vec<Token>>,
    logits: Vec<Vec<f32>>,
}

impl Adversary {
    fn new(caps: Caps, pieces: Vec<Vec<u8>>) -> Adversary {
        let inner = Simulated::new(caps, pieces.len() as u32);
        Adversary { inner, pieces, seqs: BTreeMap::new(), logits: Vec::new() }
    }

    fn wishes(&self, tokens: &[Token], whims: &[f32]) -> Vec<f32> {
        let said: Vec<u8> =
            tokens.iter().skip(PROMPT).flat_map(|t| self.pieces[*t as usize].clone()).collect();
        let said = &said[said.len().saturating_sub(32)..];
        let wish = |(piece, whim): (&Vec<u8>, &f32)| {
            let after = [said, piece.as_slice()].concat();
            let reach = TEXTS.iter().map(|text| reach(&after, text.as_bytes())).max().unwrap_or(0);
            // Silence and the end of the turn are wanted least.
            let least = if piece.is_empty() { -50.0 } else { 0.0 };
            reach as f32 * 5.0 + whim / 100.0 + least
        };
        self.pieces.iter().zip(whims).map(wish).collect()
    }
}

/// How many bytes at the end begin the text; twice its length when all of it is there.
fn reach(said: &[u8], text: &[u8]) -> usize {
    if said.windows(text.len()).any(|w| w == text) {
        return 2 * text.len();
    }
    (1..text.len()).rev().find(|n| said.ends_with(&text[..*n])).unwrap_or(0)
}

impl Kernel for Adversary {
    fn caps(&self) -> Caps {
        self.inner.caps()
    }
    fn step(&mut self, rows: &[Row], cancelled: &(dyn Fn() -> bool + Sync)) -> Result<(), StepError> {
        self.inner.step(rows, cancelled)?;
        self.logits.clear();
        for (at, row) in rows.iter().enumerate() {
            let seq = self.seqs.entry(row.seq).or_default();
            seq.truncate(row.pos as usize);
            seq.push(row.token);
            let seq = seq.clone();
            let wishes = if row.logits { self.wishes(&seq, self.inner.logits(at)) } else { Vec::new() };
            self.logits.push(wishes);
        }
        Ok(())
    }
    fn logits(&self, row: usize) -> &[f32] {
        &self.logits[row]
    }
    fn share(&mut self, from: SeqId, to: SeqId, len: u32) {
        self.inner.share(from, to, len);
        let shared = self.seqs.get(&from).map(|s| s[..len as usize].to_vec()).unwrap_or_default();
        self.seqs.insert(to, shared);
    }
    fn truncate(&mut self, seq: SeqId, from: u32) -> bool {
        self.inner.truncate(seq, from)
    }
    fn clear(&mut self, seq: SeqId) {
        self.inner.clear(seq);
    }
    fn len(&self, seq: SeqId) -> u32 {
        self.inner.len(seq)
    }
    fn save(&mut self, _: SeqId, _: u32, _: u32) -> Option<Vec<u8>> {
        None
    }
    fn restore(&mut self, _: SeqId, _: u32, _: &[u8]) -> bool {
        false
    }
    fn adapt(&mut self, adapter: u32) -> Result<(), String> {
        self.inner.adapt(adapter)
    }
}

/// Bytes, all of them or those of the texts, and pieces of the texts with what may
/// stand around them; the last token ends the turn.
fn pieces(random: &mut Random) -> Vec<Vec<u8>> {
    let every = random.next_u32().is_multiple_of(2);
    let used: Vec<u8> = TEXTS.iter().flat_map(|t| t.bytes()).collect();
    let mut pieces: Vec<Vec<u8>> =
        (0..=255u8).filter(|b| every || used.contains(b)).map(|b| vec![b]).collect();
    let mut pick = |n: usize| random.next_u32() as usize % n;
    for _ in 0..60 {
        let text = TEXTS[pick(TEXTS.len())].as_bytes();
        let from = pick(text.len());
        let to = from + 1 + pick(text.len() - from);
        let mut piece = text[from..to].to_vec();
        if pick(3) == 0 {
            piece.insert(0, used[pick(used.len())]);
        }
        if pick(3) == 0 {
            piece.push(used[pick(used.len())]);
        }
        pieces.push(piece);
    }
    pieces.push(Vec::new());
    pieces
}

fn banned(pieces: &[Vec<u8>], texts: &[&str]) -> Arc<Banned> {
    let vocab = Vocab::new(pieces, vec![pieces.len() as Token - 1]);
    let lexicon = Arc::new(Lexicon::new(Arc::new(vocab)));
    Arc::new(Banned::new(lexicon, texts.iter().map(|t| t.as_bytes().to_vec())))
}

fn job(seed: u64, constraint: Option<Box<dyn Constraint>>) -> Job {
    let temperature = if seed.is_multiple_of(2) { 0.0 } else { 1.0 };
    let sampling = Sampling { temperature, seed, ..Sampling::GREEDY };
    Job { n: 2, max_tokens: 40, sampling, constraint, ..Job::new(JobId(seed), vec![0; PROMPT]) }
}

/// Texts of the choices, why each ended, and what was withheld in all.
fn run(pieces: Vec<Vec<u8>>, job: Job) -> (Vec<String>, Vec<Finish>, u64) {
    let caps = Caps {
        seq_max: 4,
        cells: 256,
        seq_len_max: 200,
        step_rows_max: 32,
        outputs_max: 4,
        parts: true,
        tile_rows: 0,
    };
    let vocab = Vocab::new(&pieces, vec![pieces.len() as Token - 1]);
    let mut kernel = Adversary::new(caps, pieces);
    let mut scheduler = Scheduler::new(caps, Limits { memory_bytes: 0, ..Limits::default() });
    let (mut texts, mut ends) = (vec![String::new(); job.n as usize], Vec::new());
    scheduler.add(job, Micros(0));
    let mut out = Vec::new();
    while !scheduler.is_empty() {
        scheduler.step(Micros(0), &mut kernel, &vocab, &mut out);
        for output in out.drain(..) {
            match output {
                Output::Token { choice, text, .. } => texts[choice as usize].push_str(&text),
                Output::Finish { reason, .. } => ends.push(reason),
                Output::Done { failed, .. } => assert_eq!(failed, None),
                Output::Start { .. } => {}
            }
        }
    }
    (texts, ends, scheduler.counters().withheld)
}

#[test]
fn a_model_that_wants_nothing_else_never_says_a_banned_text_however_it_is_cut() {
    let holds = |texts: &[String]| texts.iter().any(|t| TEXTS.iter().any(|banned| t.contains(banned)));
    let (mut said, mut withheld) = (0, 0);
    for seed in 0..400 {
        let pieces = pieces(&mut Random::new(seed, 5));
        said += u32::from(holds(&run(pieces.clone(), job(seed, None)).0));
        let constraint = Masked::boxed(banned(&pieces, &TEXTS), None, b"");
        let (texts, ends, kept) = run(pieces, job(seed, Some(constraint)));
        assert!(!holds(&texts), "seed {seed}: {texts:?}");
        // It goes on with something else: there is nearly always another byte.
        assert!(texts.iter().all(|t| t.len() >= 20) && !ends.contains(&Finish::Filtered), "{texts:?}");
        withheld += u32::from(kept > 0);
    }
    assert_eq!(said, 400, "the kernel does want it");
    assert_eq!(withheld, 400, "and what it was kept from is counted");
}

/// Allows some tokens, for ever.
#[derive(Clone, Debug)]
struct Only(Vec<Token>);

impl Constraint for Only {
    fn allow(&mut self, allowed: &mut [u32]) -> Result<Allowed, String> {
        self.0.iter().for_each(|t| allowed[*t as usize / 32] |= 1 << (t % 32));
        Ok(Allowed::Listed)
    }
    fn accept(&mut self, token: Token) -> Result<(), String> {
        if self.0.contains(&token) { Ok(()) } else { Err("not of its form".into()) }
    }
    fn is_complete(&self) -> bool {
        false
    }
    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

#[test]
fn a_token_must_be_allowed_by_the_form_and_by_the_mask() {
    let pieces: Vec<Vec<u8>> = ["a", "b", "c", ""].map(|p| p.as_bytes().to_vec()).to_vec();
    let form: Box<dyn Constraint> = Box::new(Only(vec![0, 1]));
    let constraint = Masked::boxed(banned(&pieces, &["ab", "bbb"]), Some(form), b"");
    let (texts, ends, _) = run(pieces, Job { n: 1, ..job(1, Some(constraint)) });
    assert_eq!((texts[0].len(), &ends[..]), (40, &[Finish::Length][..]));
    let after_a = texts[0].trim_start_matches('b');
    assert!(texts[0].len() - after_a.len() <= 2 && after_a.bytes().all(|b| b == b'a'), "{}", texts[0]);
}

#[test]
fn where_nothing_else_may_follow_the_choice_ends_as_filtered_and_does_not_fail() {
    let pieces: Vec<Vec<u8>> = ["x", "y", ""].map(|p| p.as_bytes().to_vec()).to_vec();
    let form: Box<dyn Constraint> = Box::new(Only(vec![0]));
    let constraint = Masked::boxed(banned(&pieces, &["xxxx"]), Some(form), b"");
    let (texts, ends, _) = run(pieces, Job { n: 1, ..job(0, Some(constraint)) });
    assert_eq!((texts[0].as_str(), &ends[..]), ("xxx", &[Finish::Filtered][..]));
}

#[test]
fn what_stands_before_the_answer_is_not_completed_either() {
    let pieces: Vec<Vec<u8>> = ["hun", "ter", "t", ""].map(|p| p.as_bytes().to_vec()).to_vec();
    let mut state = Masked::boxed(banned(&pieces, &["hunter"]), None, b"it is hun");
    let mut set = [0];
    assert_eq!(state.allow(&mut set), Ok(Allowed::Cut));
    assert_eq!(set, [0b1101], "the end of the turn is always allowed");
    assert!(state.withholds(1) && !state.withholds(2));
    state.accept(2).expect("hunt is no secret");
    assert!(state.fork().accept(1).is_ok());
    assert_eq!(state.allow(&mut [0]), Ok(Allowed::Any));
}

#[test]
fn trap_x4_the_state_of_a_mask_tells_nothing_of_its_texts() {
    let pieces = pieces(&mut Random::new(1, 1));
    let state = Masked::boxed(banned(&pieces, &TEXTS), None, b"hunter2-");
    let shown = format!("{state:?}");
    assert!(shown.contains("texts: 4") && TEXTS.iter().all(|t| !shown.contains(&t[..4])), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_cut_is_what_would_complete_a_text_and_nothing_more(
        texts in proptest::collection::vec("[ab]{1,5}", 1..5),
        mut pieces in proptest::collection::vec("[abc]{1,6}", 1..12),
        walk in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        pieces.push(String::new());
        let bytes: Vec<Vec<u8>> = pieces.iter().map(|p| p.as_bytes().to_vec()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut state = Masked::boxed(banned(&bytes, &texts), None, b"");
        let mut said = String::new();
        // An occurrence that ends inside the token, wherever it begins.
        let completes = |said: &str, piece: &str| {
            let after = format!("{said}{piece}");
            let ends = |at: usize, t: &str| after[at..].starts_with(t) && at + t.len() > said.len();
            texts.iter().any(|t| (0..after.len()).any(|at| ends(at, t)))
        };
        for step in walk {
            let mut set = [0u32];
            let allowed = state.allow(&mut set).expect("a mask does not fail");
            for (token, piece) in pieces.iter().enumerate() {
                let may = allowed == Allowed::Any || set[0] >> token & 1 == 1;
                prop_assert_eq!(may, !completes(&said, piece), "{:?} after {:?}", piece, said);
            }
            let token = step.index(pieces.len());
            if !completes(&said, &pieces[token]) {
                state.accept(token as Token).expect("it is allowed");
                said.push_str(&pieces[token]);
            } else {
                prop_assert!(state.fork().accept(token as Token).is_err());
            }
        }
    }
}
