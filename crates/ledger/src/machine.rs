//! What an attempt on our own engine costs: a declared machine-hour and a power
//! price, by the microseconds that the machine was busy for it.
//!
//! Tokens have no price here, because the same token costs 5x more on an idle
//! machine than on a full batch; time and energy are what is really spent.

use store::Line;
use units::{Micros, PicoRate, Usd};

use crate::Priced;

/// Microseconds in an hour; also millijoules in a kilowatt-hour.
const HOUR: i128 = 3_600_000_000;

/// A machine's declared prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// One hour of the machine: rent, or capital cost over its life.
    pub hour: Usd,
    /// Power while busy.
    pub watts: u32,
    /// One kilowatt-hour, at the meter.
    pub kwh: Usd,
    /// Since when these figures hold; shown as the price's date.
    pub since: Micros,
}

impl Machine {
    /// The cost of `busy_us` microseconds of this machine: a `machine` line in
    /// microseconds and an `energy` line in millijoules.
    ///
    /// The amounts are exact to half a pico-dollar (round half even). The rates
    /// shown beside them are rounded to whole pico-dollars per unit, so here,
    /// and only here, an amount is not rate times quantity: a machine at
    /// 0.10 USD an hour is 27.8 pico-dollars a microsecond, and multiplying by 28
    /// would overcharge by 0.8 %.
    pub fn price(&self, busy_us: u64) -> Priced {
        let millijoules = i128::from(self.watts) * i128::from(busy_us) / 1000;
        self.of(busy_us, millijoules, "declared machine-hour and power price")
    }

    /// The same with the machine's power as it was measured, instead of as it was declared.
    pub fn price_measured(&self, busy_us: u64, milliwatts: u64) -> Priced {
        let millijoules = i128::from(milliwatts) * i128::from(busy_us) / 1_000_000;
        self.of(busy_us, millijoules, "declared machine-hour and power price, measured power")
    }

    fn of(&self, busy_us: u64, millijoules: i128, what: &str) -> Priced {
        let mut priced = Priced { price: Some((self.since, what.into())), ..Priced::default() };
        let mut total = Some(Usd::ZERO);
        for (item, price, quantity) in
            [("machine", self.hour, i128::from(busy_us)), ("energy", self.kwh, millijoules)]
        {
            if price == Usd::ZERO || quantity == 0 {
                continue;
            }
            let amount = i128::from(price.pico())
                .checked_mul(quantity)
                .and_then(|product| Usd::from_wide(half_even(product, HOUR)));
            total = total.zip(amount).and_then(|(t, a)| t.checked_add(a));
            priced.lines.push(Line {
                item: item.into(),
                quantity: u64::try_from(quantity).unwrap_or(u64::MAX),
                rate: PicoRate::from_pico(half_even(i128::from(price.pico()), HOUR) as i64),
                amount: amount.unwrap_or(Usd::ZERO),
            });
        }
        match total {
            Some(total) => Priced { total, ..priced },
            // More than nine million dollars of machine time is a bug, not a bill.
            None => Priced { total: Usd::ZERO, price: None, unpriced: true, ..priced },
        }
    }

    /// The most that `predicted_us` can cost; `None` when it leaves the range of money.
    pub fn worst_case(&self, predicted_us: u64) -> Option<Usd> {
        let priced = self.price(predicted_us);
        (!priced.unpriced).then_some(priced.total)
    }
}

/// `n / d` for positive `d`, rounded to the nearest integer, ties to even.
fn half_even(n: i128, d: i128) -> i128 {
    let (q, r) = (n.div_euclid(d), n.rem_euclid(d));
    match (r * 2).cmp(&d) {
        std::cmp::Ordering::Less => q,
        std::cmp::Ordering::Greater => q + 1,
        std::cmp::Ordering::Equal => q + (q & 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DESK: Machine = Machine {
        hour: Usd::from_pico(100_000_000_000),
        watts: 65,
        kwh: Usd::from_pico(300_000_000_000),
        since: Micros(0),
    };

    #[test]
    fn an_hour_of_the_machine_costs_its_declared_price_and_power() {
        let hour = DESK.price(3_600_000_000);
        let lines: Vec<_> =
            hour.lines.iter().map(|l| (l.item.as_str(), l.quantity, l.amount.to_string())).collect();
        assert_eq!(
            lines,
            [("machine", 3_600_000_000, "0.1".into()), ("energy", 234_000_000, "0.0195".to_string())]
        );
        assert_eq!(hour.total.to_string(), "0.1195");
        assert!(!hour.unpriced);
    }

    #[test]
    fn measured_power_takes_the_place_of_declared() {
        let measured = DESK.price_measured(3_600_000_000, 130_500);
        let energy = measured.lines.iter().find(|l| l.item == "energy").expect("a line");
        assert_eq!((energy.quantity, energy.amount.to_string()), (469_800_000, "0.03915".to_string()));
        assert!(measured.price.expect("dated").1.contains("measured power"));
        assert_eq!(DESK.price_measured(1_000, 65_000).total, DESK.price(1_000).total);
    }

    #[test]
    fn absurd_time_is_unpriced_and_does_not_panic() {
        let dear = Machine { hour: Usd::MAX, watts: u32::MAX, kwh: Usd::MAX, since: Micros(0) };
        assert!(dear.price(u64::MAX).unpriced);
        assert_eq!(dear.worst_case(u64::MAX), None);
        assert_eq!(DESK.worst_case(0), Some(Usd::ZERO));
    }

    proptest! {
        #[test]
        fn more_time_never_costs_less(a in 0u64..1 << 40, b in 0u64..1 << 40) {
            let (less, more) = (a.min(b), a.max(b));
            prop_assert!(DESK.price(less).total <= DESK.price(more).total);
            prop_assert_eq!(DESK.price(a).total.pico() as i128, Usd::sum(DESK.price(a).lines.iter().map(|l| l.amount)));
        }
    }
}
