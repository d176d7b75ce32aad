// ---- context: public signatures to write against (bodies follow; this file goes before landing) ----
// Ids: a chunk is `u64` (store's ChunkId.0) everywhere here. Text is &str; vectors are &[f32]. No store types needed.

pub mod text {
    pub enum Script { Latin, Cyrillic, Greek, Hebrew, Arabic, Devanagari, Thai, Cjk, Other }    // Copy, Ord, Hash
    pub fn script(text: &str) -> Option<Script>;              // of most letters; None: no letters
    pub enum Lexing { Stemmed, Words, Trigrams }               // the store's three
    pub fn lexing(language: &str, sample: &str) -> Lexing;     // language: BCP 47 or "und"
    pub struct Removed { pub at: usize /* byte in the original */, pub kind: Unseen, pub text: String /* what tag characters spell */ }
    pub enum Unseen { Invisible, Bidi, Tags, Control }
    pub struct Clean { pub text: String, pub removed: Vec<Removed>, pub removed_chars: usize }
    pub fn clean(text: &str) -> Clean;                         // visible text; evidence of the rest (at most 64 runs)
    pub const QUERY_BYTES_MAX: usize = 8 << 10;
    pub const TERMS_MAX: usize = 64;
    pub struct Query { pub text: String, pub script: Option<Script>, pub terms: Vec<String>, pub cut: Option<Cut>, pub removed: usize, pub identifiers: bool }
    pub struct Cut { pub bytes: usize /* asked */, pub read: usize, pub terms_left_out: usize }
    impl Query {
        pub fn read(text: &str, lexing: Lexing) -> Query;      // never fails; terms may be empty. `terms` go to store::TextQuery as they are
        pub fn match_expression(&self) -> Option<String>;      // FTS5 MATCH: terms quoted and OR-ed; None without terms
    }
    pub fn words(text: &str) -> Vec<String>;                   // NFKC, lower case; what near-equality, echo and the embedder see
}

pub mod parse {
    pub enum Format { Text, Markdown, Html, Csv, Jsonl, Code, Email, Pdf, Docx, Pptx, Xlsx }
    impl Format { pub fn media_type(self) -> &'static str; pub fn name(self) -> &'static str; }
    pub struct Declared<'a> { pub name: Option<&'a str> /* file name or URL path */, pub media_type: Option<&'a str> }  // Default
    pub fn format(declared: Declared<'_>, bytes: &[u8]) -> Result<Format, Error>;   // Error::Disagrees when it lies
    pub struct Limits { pub bytes: usize, pub blocks: usize, pub depth: usize, pub text_bytes: usize, pub hidden_bytes: usize }  // Default: 32 MiB, 100_000, 256, 16 MiB, 64 KiB
    pub fn parse(bytes: &[u8], format: Format, limits: &Limits) -> Result<Parsed, Error>;
    pub struct Parsed { pub format: Format, pub title: Option<String>, pub text: String /* the visible text: what spans are of */,
                        pub headings: Vec<Heading>, pub blocks: Vec<Block>, pub hidden: Vec<Hidden>, pub hidden_dropped: usize /* bytes */ }
    pub struct Heading { pub level: u8, pub text: String, pub parent: Option<u32> }
    pub enum Kind { Heading, Paragraph, Item, Quote, Code, Row, Header }
    pub struct Block { pub kind: Kind, pub heading: Option<u32>, pub span: Range<usize> /* of Parsed::text */, pub source: Option<Range<usize>> /* of the bytes */ }
    pub struct Hidden { pub why: Why, pub text: String, pub source: Option<Range<usize>> }
    pub enum Why { Invisible, Bidi, Tags, Control, Comment, Display, Size, Colour, Metadata }
    impl Parsed { pub fn heading_path(&self, heading: Option<u32>) -> Vec<&str>; }
    pub enum Error { Empty, TooLarge{bytes,max}, NotUtf8{at}, Disagrees{declared: String, found: &'static str}, Unsupported(Format), Binary, TooManyBlocks{max}, TooDeep{max}, TooMuchText{max}, Malformed{format, at: usize /* line */, why: String} }
    impl Error { pub fn report(&self) -> report::Report; }      // codes CX0001..CX0004
    pub fn fuzz(bytes: &[u8]);
}

pub mod chunk {
    pub struct Size { pub target: usize, pub max: usize, pub overlap: usize }   // characters; Default 1_200, 2_000, 150
    pub struct Chunk { pub span: Range<usize>, pub heading: Option<u32> }
    pub fn chunks(parsed: &Parsed, size: &Size) -> Vec<Chunk>;  // chunk's text is &parsed.text[span]; starts grow strictly
    pub fn embedded_text(parsed: &Parsed, chunk: &Chunk) -> String;  // title and heading path before the text: what an embedder is given
}

pub mod embed {
    pub const LEXICAL_HASH: &str = "lexical-hash-1";
    pub const DIMENSIONS: usize = 384;
    pub fn lexical_hash(text: &str) -> Vec<f32>;               // L2 norm 1, or all zeros for no words
    pub struct Embedder { pub name: String, pub dimensions: usize, pub semantic: bool, pub scripts: Vec<Script> /* that it knows */ }
    impl Embedder { pub fn lexical_hash() -> Embedder; pub fn knows(&self, script: Option<Script>) -> bool; }
    pub fn cosine(a: &[f32], b: &[f32]) -> f32;                // 0 for a NaN, a zero vector or other lengths
}

pub mod plan {
    pub const DIRECT_MAX: u64 = 2_000;
    pub enum Scan { Nothing, Direct, Masked { fetch: usize } }  // fetch: candidates to rescore by their originals
    pub struct Plan { pub scan: Scan, pub exact: bool }
    pub fn plan(k: usize, allowed: u64, index: Index) -> Plan;
    pub struct Index { pub quantised: bool }
}

pub mod rank {
    pub struct Candidate<'a> { pub chunk: u64, pub lexical: Option<f32> /* BM25, more is better */, pub dense: Option<f32> /* cosine */,
        pub text: &'a str, pub vector: Option<&'a [f32]>, pub source: &'a str, pub batch: &'a str, pub trust: Trust, pub age_us: Option<i64>, pub rerank: Option<f32> /* 0..=1 by a cross-encoder */ }
    pub enum Trust { Unknown, Known, Signed }
    pub struct Settings { pub k: usize, pub per_source: Option<usize>, pub per_batch: Option<usize>, pub near_duplicate: f32, pub mmr_lambda: Option<f32>, pub half_life_us: Option<i64>, pub trust_prior: bool }  // Default: 10, Some(2), Some(2), 0.9, None, None, true
    pub fn rank(query: &text::Query, candidates: &[Candidate<'_>], gate: &Gate, embedder: &Embedder, settings: &Settings) -> Ranked;
    pub struct Ranked { pub hits: Vec<Ranking>, pub explain: Explain }
    pub struct Ranking { pub at: usize /* in candidates */, pub chunk: u64, pub score: f32, pub relevance: f32 /* 0..=1 */, pub lexical: Option<Place>, pub dense: Option<Place>, pub demoted: Vec<Demoted>, pub duplicates: Vec<u64> }
    pub struct Place { pub rank: usize /* from 1 */, pub score: f32, pub scaled: f32 /* 0..=1 */ }
    pub enum Demoted { Age(f32), Trust(f32), Echo, Cluster, Cap, Similar(f32) }
    pub struct Explain { pub dense_weight: f32, pub reason: Reason, pub candidates: usize, pub duplicates: usize, pub capped: usize /* left out for good */, pub over_cap: usize /* moved behind */ }
    pub enum Reason { Untrained, NotSemantic, UnknownScript(Option<Script>), NoTerms, NoDense, Fitted }
    pub struct Gate { .. }   // Clone, PartialEq; serialised as text by to_text / from_text for Collection::settings
    impl Gate { pub fn untrained() -> Gate; pub fn fit(dev: &[DevQuery], embedder: &Embedder) -> Fit; pub fn to_text(&self) -> String; pub fn from_text(text: &str) -> Option<Gate>; pub fn dense_weight(&self, query: &text::Query, embedder: &Embedder) -> (f32, Reason) }
    pub struct DevQuery { pub script: Option<Script>, pub candidates: Vec<DevCandidate> , pub relevant: usize /* judged relevant in all */ }
    pub struct DevCandidate { pub lexical: Option<f32>, pub dense: Option<f32>, pub grade: u8 }
    pub struct Fit { pub gate: Gate, pub queries: usize, pub lexical: f64, pub dense: f64, pub fused: f64 /* nDCG@10 of each on dev */ }
}

pub mod eval {
    pub fn ndcg(grades_in_order: &[u32], all_grades: &[u32], k: usize) -> f64;   // linear gain (trec_eval)
    pub fn recall(found: usize, relevant: usize) -> f64;
    pub struct Judged<'a> { pub ranked: &'a [&'a str], pub grades: &'a BTreeMap<&'a str, u32>, pub poison: &'a BTreeSet<&'a str> }
    pub fn score(judged: &Judged<'_>, k: usize) -> Scores;      // one query
    pub struct Scores { pub ndcg: f64, pub recall: f64, pub mrr: f64, pub poisoned: f64 }
    pub fn mean(scores: &[Scores]) -> Summary;                  // with the standard error of nDCG
    pub struct Summary { pub queries: usize, pub mean: Scores, pub ndcg_error: f64 }
}

pub mod cache {
    pub struct Partition<'a> { pub labels: &'a str, pub model: &'a str, pub system: &'a str, pub tools: &'a str /* canonical JSON */, pub policy: &'a [u8] }
    impl Partition<'_> { pub fn key(&self) -> [u8; 32]; }
    pub fn exact_key(turns: &[(&str /* role */, &str /* text */)], context: &[(Uuid7, u32 /* version */)], parameters: &str) -> [u8; 32];
    pub fn near(asked: &str, kept: &str) -> Near;
    pub enum Near { Equal, Differs(Difference) }
    pub enum Difference { Numbers, Negation, Entities, Words }
    pub struct Bound { .. }     // per entry: observations (similarity, was right)
    impl Bound { pub fn new() ; pub fn observe(&mut self, similarity: f32, right: bool); pub fn decide(&self, similarity: f32, delta: f64, draw: f64 /* uniform in 0..1 */) -> Decision; to_text/from_text }
    pub enum Decision { Serve, Ask /* explore: make the answer anew and judge the kept one by it */ }
    pub fn may_serve(dependencies: &[(Uuid7, u32)], readable: impl Fn(Uuid7) -> Option<u32> /* the version the reader may read now */) -> Result<(), Refused>;
    pub enum Refused { NotReadable(Uuid7), Changed{document, kept, now} }
}

pub mod memory {
    pub struct Fact { .. }      // mirrors store::documents::Fact in what rules need
    pub fn admit(new, utterance, existing) -> Verdict            // Record{replaces, contradicts} | Duplicate(index) | Refused(why)
    pub fn as_of(facts, valid: Micros, known: Micros) -> Vec<&Fact>
}
