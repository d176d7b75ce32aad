//! Counters, gauges and histograms, and their text for Prometheus.
//!
//! A handle is resolved once (`family.with(&["gpt-5", "openai"])`) and kept by
//! its user; updating it is a relaxed atomic addition. Counters are sharded by
//! thread because every worker adds to the same few; histograms are not: their
//! buckets already spread the writes.
//!
//! Values are integers in a base unit with a divisor for display (microseconds
//! shown as seconds, pico-dollars shown as dollars): sums do not drift.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock};

/// Series per metric; the next label set becomes `other`. Field experience:
/// one unbounded label (end user, misspelt model) fills a Prometheus server.
pub const MAX_SERIES: usize = 10_000;
/// Longest label value, in bytes; longer ones are cut.
const MAX_LABEL_BYTES: usize = 128;
const SHARDS: usize = 8;

/// 0.01 s to 81.92 s, doubling, in microseconds (the GenAI semantic conventions' buckets).
pub const SECONDS: &[u64] = &[
    10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 640_000, 1_280_000, 2_560_000, 5_120_000, 10_240_000,
    20_480_000, 40_960_000, 81_920_000,
];
/// 0.1 ms to 1.6 s, doubling, in microseconds: for what happens inside this process.
pub const SHORT_SECONDS: &[u64] = &[
    100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 204_800, 409_600, 819_200,
    1_638_400,
];
/// 1 to 67,108,864, by 4 (the GenAI semantic conventions' buckets for tokens).
pub const TOKENS: &[u64] =
    &[1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864];

/// Microseconds are shown as seconds.
pub const MICROS: u64 = 1_000_000;
/// Pico-dollars are shown as dollars.
pub const PICO: u64 = 1_000_000_000_000;

#[repr(align(64))]
#[derive(Default)]
struct Shard(AtomicU64);

/// A number that only grows.
#[derive(Clone)]
pub struct Counter(Arc<[Shard; SHARDS]>);

impl Default for Counter {
    fn default() -> Counter {
        Counter(Arc::new(std::array::from_fn(|_| Shard::default())))
    }
}

impl Counter {
    pub fn add(&self, n: u64) {
        self.0[shard_of_thread()].0.fetch_add(n, Relaxed);
    }
    pub fn one(&self) {
        self.add(1);
    }
    pub fn value(&self) -> u64 {
        self.0.iter().fold(0, |sum, shard| sum.wrapping_add(shard.0.load(Relaxed)))
    }
}

fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Relaxed) % SHARDS);
        }
        mine.get()
    })
}

/// A number that goes up and down.
#[derive(Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
    /// Counts one up until the guard is dropped: for things in flight.
    pub fn hold(&self) -> Held {
        self.add(1);
        Held(self.clone())
    }
}

/// One held unit of a [`Gauge`].
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// How often values fell into each bucket, and their sum.
#[derive(Clone)]
pub struct Histogram(Arc<Buckets>);

struct Buckets {
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0) }))
    }
    /// Adds a value in the metric's base unit (microseconds, tokens).
    pub fn observe(&self, value: u64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.counts[bucket].fetch_add(1, Relaxed);
        self.0.sum.fetch_add(value, Relaxed);
    }
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|n| n.load(Relaxed)).sum()
    }
}

/// One metric under several label values.
#[derive(Clone)]
pub struct Family<M>(Arc<Series<M>>);

struct Series<M> {
    labels: &'static [&'static str],
    make: Box<dyn Fn() -> M + Send + Sync>,
    hasher: RandomState,
    /// By hash of the label values, so that a look-up allocates nothing.
    by_hash: RwLock<HashMap<u64, Vec<Labelled<M>>>>,
    len: AtomicUsize,
}

type Labelled<M> = (Box<[Box<str>]>, M);

impl<M: Clone> Family<M> {
    fn new(labels: &'static [&'static str], make: impl Fn() -> M + Send + Sync + 'static) -> Family<M> {
        Family(Arc::new(Series {
            labels,
            make: Box::new(make),
            hasher: RandomState::new(),
            by_hash: RwLock::default(),
            len: AtomicUsize::new(0),
        }))
    }

    /// The series of these label values, in the order of the label names.
    /// Missing values are empty. Values must come from bounded sets: never a
    /// user, a key, a prompt or a model name as the client wrote it.
    pub fn with(&self, values: &[&str]) -> M {
        let series = &*self.0;
        let hash = series.hash(values);
        if let Some(found) = series.find(hash, values) {
            return found;
        }
        if series.len.load(Relaxed) >= MAX_SERIES {
            let other = vec!["other"; series.labels.len()];
            let hash = series.hash(&other);
            return series.find(hash, &other).unwrap_or_else(|| series.insert(hash, &other));
        }
        series.insert(hash, values)
    }
    /// The number of series.
    pub fn len(&self) -> usize {
        self.0.len.load(Relaxed)
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    fn sorted(&self) -> Vec<Labelled<M>> {
        let by_hash = self.0.by_hash.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut all: Vec<_> = by_hash.values().flatten().cloned().collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

impl Family<Gauge> {
    /// Puts these series in the place of all there were: for label values that come
    /// and go, told anew each time they are read.
    pub fn replace<'v>(&self, rows: impl IntoIterator<Item = (Vec<&'v str>, i64)>) {
        let series = &*self.0;
        let (mut by_hash, mut len) = (HashMap::<u64, Vec<Labelled<Gauge>>>::new(), 0);
        for (values, n) in rows.into_iter().take(MAX_SERIES) {
            let gauge = Gauge::default();
            gauge.set(n);
            let labels = values.iter().map(|v| (*v).into()).collect();
            by_hash.entry(series.hash(&values)).or_default().push((labels, gauge));
            len += 1;
        }
        *series.by_hash.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = by_hash;
        series.len.store(len, Relaxed);
    }
}

impl<M: Clone> Series<M> {
    fn hash(&self, values: &[&str]) -> u64 {
        self.hasher.hash_one(values)
    }
    fn find(&self, hash: u64, values: &[&str]) -> Option<M> {
        let by_hash = self.by_hash.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        by_hash.get(&hash)?.iter().find(|(have, _)| same(have, values)).map(|(_, metric)| metric.clone())
    }
    fn insert(&self, hash: u64, values: &[&str]) -> M {
        let mut by_hash = self.by_hash.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let list = by_hash.entry(hash).or_default();
        if let Some((_, metric)) = list.iter().find(|(have, _)| same(have, values)) {
            return metric.clone();
        }
        let metric = (self.make)();
        list.push((values.iter().map(|v| (*v).into()).collect(), metric.clone()));
        self.len.fetch_add(1, Relaxed);
        metric
    }
}

fn same(have: &[Box<str>], values: &[&str]) -> bool {
    have.len() == values.len() && have.iter().zip(values).all(|(a, b)| **a == **b)
}

enum Kind {
    Counter(Family<Counter>),
    Gauge(Family<Gauge>),
    Histogram(Family<Histogram>),
    Read(Box<dyn Fn() -> f64 + Send + Sync>),
}

struct Metric {
    name: &'static str,
    help: &'static str,
    divisor: u64,
    kind: Kind,
}

/// All metrics of a process. Clones share them.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Vec<Metric>>>);

impl Registry {
    pub fn new() -> Registry {
        Registry::default()
    }
    /// A counter with labels; its values are divided by `divisor` for display.
    pub fn counters(
        &self,
        name: &'static str,
        help: &'static str,
        divisor: u64,
        labels: &'static [&'static str],
    ) -> Family<Counter> {
        let family = Family::new(labels, Counter::default);
        self.register(Metric { name, help, divisor, kind: Kind::Counter(family.clone()) });
        family
    }
    pub fn gauges(
        &self,
        name: &'static str,
        help: &'static str,
        divisor: u64,
        labels: &'static [&'static str],
    ) -> Family<Gauge> {
        let family = Family::new(labels, Gauge::default);
        self.register(Metric { name, help, divisor, kind: Kind::Gauge(family.clone()) });
        family
    }
    /// A histogram with labels; bounds and values are in the base unit.
    pub fn histograms(
        &self,
        name: &'static str,
        help: &'static str,
        divisor: u64,
        bounds: &'static [u64],
        labels: &'static [&'static str],
    ) -> Family<Histogram> {
        let family = Family::new(labels, move || Histogram::new(bounds));
        self.register(Metric { name, help, divisor, kind: Kind::Histogram(family.clone()) });
        family
    }
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.counters(name, help, 1, &[]).with(&[])
    }
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.gauges(name, help, 1, &[]).with(&[])
    }
    /// A gauge that is read when the metrics are.
    pub fn read(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.register(Metric { name, help, divisor: 1, kind: Kind::Read(Box::new(read)) });
    }

    fn register(&self, metric: Metric) {
        let mut all = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        debug_assert!(all.iter().all(|m| m.name != metric.name), "two metrics named {}", metric.name);
        all.push(metric);
    }

    /// The text format of Prometheus (version 0.0.4), in the order of registration.
    pub fn render(&self) -> String {
        let all = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut out = String::with_capacity(16 << 10);
        for metric in all.iter() {
            metric.render(&mut out);
        }
        out
    }
}

impl Metric {
    fn render(&self, out: &mut String) {
        let kind = match &self.kind {
            Kind::Counter(_) => "counter",
            Kind::Gauge(_) | Kind::Read(_) => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        // Writing into a String cannot fail.
        let _ = writeln!(out, "# HELP {} {}\n# TYPE {} {kind}", self.name, self.help, self.name);
        match &self.kind {
            Kind::Counter(family) => {
                for (values, counter) in family.sorted() {
                    let shown = decimal(i128::from(counter.value()), self.divisor);
                    line(out, self.name, "", family.0.labels, &values, None, &shown);
                }
            }
            Kind::Gauge(family) => {
                for (values, gauge) in family.sorted() {
                    let shown = decimal(i128::from(gauge.value()), self.divisor);
                    line(out, self.name, "", family.0.labels, &values, None, &shown);
                }
            }
            Kind::Read(read) => line(out, self.name, "", &[], &[], None, &read().to_string()),
            Kind::Histogram(family) => {
                for (values, histogram) in family.sorted() {
                    self.render_histogram(out, family.0.labels, &values, &histogram.0);
                }
            }
        }
    }

    fn render_histogram(&self, out: &mut String, labels: &[&str], values: &[Box<str>], buckets: &Buckets) {
        let mut total = 0u64;
        for (i, count) in buckets.counts.iter().enumerate() {
            total += count.load(Relaxed);
            let bound = match buckets.bounds.get(i) {
                Some(bound) => decimal(i128::from(*bound), self.divisor),
                None => "+Inf".to_owned(),
            };
            line(out, self.name, "_bucket", labels, values, Some(&bound), &total.to_string());
        }
        let sum = decimal(i128::from(buckets.sum.load(Relaxed)), self.divisor);
        line(out, self.name, "_sum", labels, values, None, &sum);
        line(out, self.name, "_count", labels, values, None, &total.to_string());
    }
}

fn line(
    out: &mut String,
    name: &str,
    suffix: &str,
    labels: &[&str],
    values: &[Box<str>],
    bound: Option<&str>,
    value: &str,
) {
    out.push_str(name);
    out.push_str(suffix);
    let named = labels.iter().copied().zip(values.iter().map(|v| &**v));
    let mut open = '{';
    for (label, value) in named.chain(bound.map(|bound| ("le", bound))) {
        out.push(open);
        open = ',';
        out.push_str(label);
        out.push_str("=\"");
        escape(out, value);
        out.push('"');
    }
    if open == ',' {
        out.push('}');
    }
    out.push(' ');
    out.push_str(value);
    out.push('\n');
}

fn escape(out: &mut String, value: &str) {
    let mut end = value.len().min(MAX_LABEL_BYTES);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    for c in value[..end].chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
}

/// An exact decimal: no float between the atomic and the text.
fn decimal(value: i128, divisor: u64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let (value, divisor) = (value.unsigned_abs(), u128::from(divisor.max(1)));
    let (whole, rest) = (value / divisor, value % divisor);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let digits = divisor.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests;
