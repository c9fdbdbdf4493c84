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
}

impl Staging {
    /// Forgets all windows.
    pub(crate) fn clear(&mut self) {
        self.windows.clear();
        if !self.index.is_empty() {
            self.index.clear();
        }
    }

    /// Adds one trade to its window, which begins with what `held` returns; `None` where a sum would
    /// not fit.
    pub(crate) fn add(
        &mut self,
        trade: &Trade,
        start_ms: i64,
        held: impl FnOnce() -> Option<Fold>,
    ) -> Option<()> {
        if let Some(staged) = self.find(trade.symbol, start_ms) {
            return staged.fold.add(trade);
        }
        let fold = match held() {
            Some(mut fold) => fold.add(trade).map(|()| fold)?,
            None => Fold::of(trade),
        };
        self.windows.push(Staged { series: trade.symbol, start_ms, fold });
        if self.windows.len() > FEW {
            let indexed = self.index.len();
            let unindexed = self.windows.iter().enumerate().skip(indexed);
            self.index.extend(unindexed.map(|(at, staged)| ((staged.series, staged.start_ms), at)));
        }
        Some(())
    }

    /// A window that was staged already; mostly the last one.
    fn find(&mut self, series: u32, start_ms: i64) -> Option<&mut Staged> {
        let is_it = |staged: &Staged| staged.series == series && staged.start_ms == start_ms;
        if self.windows.len() <= FEW || self.windows.last().is_some_and(is_it) {
            return self.windows.iter_mut().rev().find(|staged| is_it(staged));
        }
        let at = *self.index.get(&(series, start_ms))?;
        self.windows.get_mut(at)
    }

    /// Takes all windows out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Staged> {
        self.windows.drain(..)
    }
}
