//! Coverage beside a model that keeps every moment apart.

use proptest::prelude::*;

use super::Coverage;

const MOMENTS: usize = 32;
const END: i64 = 32;

#[derive(Debug, Clone)]
enum Step {
    Lose(i64),
    Regain(i64, bool),
    Miss(i64, i64, bool),
    Heal(i64, i64),
    GiveUp(i64, i64),
}

/// One flag a moment.
#[derive(Debug, Default)]
struct Model {
    received_from: i64,
    lost_from: Option<i64>,
    missed: [bool; MOMENTS],
    unsettled: [bool; MOMENTS],
}

fn moments((from, to): (i64, i64)) -> impl Iterator<Item = usize> {
    (from..to.max(from + 1)).filter_map(|at| usize::try_from(at).ok())
}

impl Model {
    fn take(&mut self, step: &Step) {
        let lost_from = self.lost_from;
        let end_at = |to: i64| lost_from.filter(|from| *from < to);
        match *step {
            Step::Lose(at) if self.received_from < i64::MAX => {
                self.lost_from = Some(lost_from.map_or(at, |from| from.min(at)));
            }
            Step::Lose(_) => {}
            Step::Regain(at, _) if self.received_from == i64::MAX => self.received_from = at,
            Step::Regain(at, settled) => {
                if let Some(from) = self.lost_from.take() {
                    self.miss((from, at), settled);
                }
            }
            Step::Miss(from, to, settled) => self.miss((from, to), settled),
            Step::Heal(from, to) => {
                let to = to.max(from + 1);
                if let Some(lost_from) = end_at(to) {
                    self.miss((lost_from, to), false);
                    self.lost_from = Some(to);
                }
                for at in moments((from, to)) {
                    (self.missed[at], self.unsettled[at]) = (false, false);
                }
            }
            Step::GiveUp(from, to) => {
                let to = to.max(from + 1);
                if let Some(lost_from) = end_at(to) {
                    self.miss((lost_from, to), false);
                    self.lost_from = Some(to);
                }
                moments((from, to)).for_each(|at| self.unsettled[at] = false);
            }
        }
    }

    fn miss(&mut self, stretch: (i64, i64), settled: bool) {
        for at in moments(stretch) {
            self.missed[at] = true;
            self.unsettled[at] |= !settled;
        }
    }

    fn is_whole(&self, from: i64, to: i64) -> bool {
        from >= self.received_from
            && self.lost_from.is_none_or(|lost| lost >= to)
            && moments((from, to)).all(|at| !self.missed[at])
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let at = || 0..END - 10;
    let stretch = || (at(), 0..10_i64).prop_map(|(from, length)| (from, from + length));
    prop_oneof![
        2 => at().prop_map(Step::Lose),
        2 => (at(), any::<bool>()).prop_map(|(at, settled)| Step::Regain(at, settled)),
        2 => (stretch(), any::<bool>()).prop_map(|((from, to), settled)| Step::Miss(from, to, settled)),
        2 => stretch().prop_map(|(from, to)| Step::Heal(from, to)),
        1 => stretch().prop_map(|(from, to)| Step::GiveUp(from, to)),
    ]
}

fn apply(coverage: &mut Coverage, step: &Step) -> bool {
    match *step {
        Step::Lose(at) => coverage.lose(at) != super::Loss::Known,
        Step::Regain(at, settled) => coverage.regain(at, settled).is_some(),
        Step::Miss(from, to, settled) => {
            coverage.miss((from, to), settled);
            true
        }
        Step::Heal(from, to) => coverage.heal((from, to), i64::MIN),
        Step::GiveUp(from, to) => coverage.give_up((from, to)),
    }
}

proptest! {
    #[test]
    fn stretches_are_those_of_single_moments(
        never in any::<bool>(), steps in prop::collection::vec(any_step(), 0..25),
    ) {
        let mut coverage = if never { Coverage::never() } else { Coverage::default() };
        let received_from = if never { i64::MAX } else { i64::MIN };
        let mut model = Model { received_from, ..Model::default() };
        for step in &steps {
            apply(&mut coverage, step);
            model.take(step);
        }
        for from in 0..END {
            for to in from + 1..END {
                prop_assert_eq!(coverage.is_whole(from, to), model.is_whole(from, to));
            }
        }
        let mut unsettled = [false; MOMENTS];
        for (from, to) in coverage.unsettled() {
            if let Some(to) = to {
                moments((from, to)).for_each(|at| unsettled[at] = true);
            } else {
                prop_assert_eq!(Some(from), model.lost_from);
            }
        }
        prop_assert_eq!(unsettled, model.unsettled);
        for stretches in [&coverage.missed.0, &coverage.unsettled.0] {
            prop_assert!(stretches.iter().all(|(from, to)| from < to));
            prop_assert!(stretches.is_sorted_by(|one, next| one.1 <= next.0));
        }
    }

    #[test]
    fn what_is_healed_or_given_up_twice_changes_once(
        steps in prop::collection::vec(any_step(), 0..15), (from, to) in (0..END, 0..END),
        heals in any::<bool>(),
    ) {
        let mut coverage = Coverage::default();
        for step in &steps {
            apply(&mut coverage, step);
        }
        let last = if heals { Step::Heal(from, to) } else { Step::GiveUp(from, to) };
        apply(&mut coverage, &last);
        prop_assert!(!apply(&mut coverage, &last));
    }
}

#[test]
fn what_is_too_late_to_heal_stays_missed_and_is_decided() {
    let mut coverage = Coverage::default();
    coverage.miss((5, 20), false);
    assert!(coverage.heal((5, 20), 10));
    assert!(!coverage.is_whole(5, 10));
    assert!(coverage.is_whole(10, 20));
    assert_eq!(coverage.unsettled().count(), 0);
}

#[test]
fn what_must_be_decided_is_not_forgotten() {
    let mut coverage = Coverage::default();
    coverage.miss((5, 20), false);
    coverage.miss((25, 30), true);
    coverage.forget(40);
    assert_eq!(coverage.unsettled().collect::<Vec<_>>(), [(5, Some(20))]);
    assert!(coverage.is_whole(0, 40));
}
