//! What the windows will hold once a frame is applied: copies, so that a fault leaves no trace.

use rustc_hash::FxHashMap;

use crate::candle::Fold;
use crate::trade::Trade;

/// What one window will hold.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Index of its symbol.
    pub(crate) series: u32,
    pub(crate) start_ms: i64,
    pub(crate) fold: Fold,
}

/// So many windows are looked through one by one; most frames have one.
const FEW: usize = 8;

/// The windows of one frame. Reused from frame to frame.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    windows: Vec<Staged>,
    /// Where the window of a symbol and start stands, once there are more than a few.
    index: FxHashMap<(u32, i64), usize>,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
}

impl Staging {
    /// Forgets all windows.
    pub(crate) fn clear(&mut self) {
        (self.first_ms, self.last_ms) = (None, None);
        self.windows.clear();
        if !self.index.is_empty() {
            self.index.clear();
        }
    }

    /// Adds trades of one window, which begins with what `held` returns.
    ///
    /// Returns the trade with which a sum would not fit.
    pub(crate) fn add<'a>(
        &mut self,
        (series, start_ms): (u32, i64),
        mut trades: impl Iterator<Item = &'a Trade>,
        held: impl FnOnce() -> Option<Fold>,
    ) -> Result<(), &'a Trade> {
        let staged = if let Some(at) = self.find(series, start_ms) {
            &mut self.windows[at]
        } else {
            let Some(first) = trades.next() else { return Ok(()) };
            let fold = match held() {
                Some(mut fold) => fold.add(first).map(|()| fold).ok_or(first)?,
                None => Fold::of(first),
            };
            self.push(Staged { series, start_ms, fold })
        };
        trades.try_for_each(|trade| staged.fold.add(trade).ok_or(trade))
    }

    fn push(&mut self, staged: Staged) -> &mut Staged {
        let at = self.windows.len();
        self.windows.push(staged);
        if at >= FEW {
            let unindexed = self.windows.iter().enumerate().skip(self.index.len());
            self.index.extend(unindexed.map(|(at, staged)| ((staged.series, staged.start_ms), at)));
        }
        &mut self.windows[at]
    }

    /// Takes note of the time of a fresh trade, whether it counts or not.
    pub(crate) fn note_time(&mut self, event_ms: i64) {
        self.first_ms = Some(self.first_ms.map_or(event_ms, |known| known.min(event_ms)));
        self.last_ms = self.last_ms.max(Some(event_ms));
    }

    /// The smallest and the greatest time of fresh trades.
    pub(crate) fn times_ms(&self) -> (Option<i64>, Option<i64>) {
        (self.first_ms, self.last_ms)
    }

    /// Where a window stands that was staged already; mostly there is one.
    fn find(&self, series: u32, start_ms: i64) -> Option<usize> {
        if self.windows.len() > FEW {
            return self.index.get(&(series, start_ms)).copied();
        }
        let is_it = |staged: &Staged| staged.series == series && staged.start_ms == start_ms;
        self.windows.iter().position(is_it)
    }

    /// Takes all windows out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Staged> {
        self.windows.drain(..)
    }
}
