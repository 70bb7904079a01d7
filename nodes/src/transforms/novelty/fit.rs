//! What of what was learnt still holds under other settings.

use smollama_engine::node::{State, StateError};
use smollama_engine::series::SeriesMap;

use super::settings::Rule;
use super::{Habit, Novelty, STATE_VERSION};

impl Novelty {
    pub(super) fn stored(&self) -> Result<State, StateError> {
        let mut stored = SeriesMap::new();
        for (id, one) in self.series.iter() {
            stored.insert(id, &one.habit);
        }
        State::of_series(STATE_VERSION, &stored, &self.hours.zone_name())
    }

    pub(super) fn restored(&mut self, state: &State) -> Result<(), StateError> {
        let (mut stored, zone) = state.read_series::<Habit, String>(STATE_VERSION)?;
        let same_zone = zone == self.hours.zone_name();
        let mut series = SeriesMap::new();
        let (mut kept, mut anew) = (0u32, 0u32);
        for (id, habit) in stored.iter_mut() {
            if !habit.is_whole() {
                return Err(StateError::Damaged("a series' habits are out of order".into()));
            }
            let mut one = self.rules.scored(id, std::mem::take(habit));
            let rule = self.rules.all.get(one.rule);
            let fits = rule.is_none_or(|rule| one.habit.fit(rule, one.monotonic, same_zone));
            *(if fits { &mut kept } else { &mut anew }) += 1;
            series.insert(id, one);
        }
        if anew > 0 && kept == 0 {
            let why = "readings that were remembered as one value would now be news to one another";
            return Err(StateError::DoesNotFit(why.into()));
        }
        if anew > 0 {
            let (node, all) = (&self.rules.context.address, kept + anew);
            tracing::info!(%node, "{anew} of {all} series are learnt anew: readings remembered as one value would now be news");
        }
        self.series = series;
        Ok(())
    }
}

impl Habit {
    /// Forgets what no longer holds. Says whether the values that were learnt still do.
    fn fit(&mut self, rule: &Rule, monotonic: bool, same_zone: bool) -> bool {
        // Of a counter the range bounds the counter, and rates are remembered.
        if !monotonic && self.numbers.forget_outside(rule.range.min..=rule.range.max) {
            self.profile = None;
        }
        let holds = |profile: &mut Box<super::Profile>| {
            rule.daily_profile && same_zone && profile.is_fine_enough(rule.news, &rule.acuity)
        };
        self.profile = self.profile.take_if(holds);
        let fits = self.numbers.is_fine_enough(rule.news, &rule.acuity);
        if !fits {
            let Habit { last, counter, texts, .. } = std::mem::take(self);
            *self = Habit { last, counter, texts, ..Habit::default() };
        }
        fits
    }
}
