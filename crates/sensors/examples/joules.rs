//! What this machine counts, read twice a second apart: small enough to be
//! carried to a machine with a board of its own.
//!
//!     cargo run -p sensors --example joules

fn main() {
    let found = sensors::all();
    found.hidden.iter().for_each(|why| println!("hidden: {why}"));
    let Some(mut meter) = sensors::Meter::new(found) else {
        println!("no energy counter");
        return;
    };
    meter.read(0);
    for second in 1..=3u64 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let spent = meter.read(second * 1_000_000);
        println!("all: {:.1} W", spent.map_or(f64::NAN, |s| s.milliwatts() as f64 / 1e3));
    }
    meter.totals().for_each(|(name, uj)| println!("{name}: {:.3} J", uj as f64 / 1e6));
}
