//! The hot paths under callgrind, which counts instructions: the same every time.
//!
//! With the name of a path this runs that path alone; `benches/instructions.py` runs it so, counting
//! within the functions called `measured_…`. Without one, as `cargo test --benches` does, it checks
//! every path against the slow reference, and prints how many trades each reads.

#![allow(clippy::print_stdout, reason = "it is what is asked for")]

mod corpus;
mod reference;

use std::hint::black_box;

use corpus::{Corpus, Shape};
use tapecast_core::engine::Engine;
use tapecast_core::frame::Frame;
use tapecast_core::lines::Block;
use tapecast_core::settings::{Clock, Settings};
use tapecast_core::trade::Category;

const FRAMES: usize = 2_000;

/// Returns how many trades it has read.
type Path = fn(&Corpus) -> usize;

const PATHS: [(&str, bool, Path); 6] = [
    ("decode_usual_linear", false, measured_decode_usual),
    ("decode_usual_spot", true, measured_decode_usual),
    ("decode_general", false, measured_decode_general),
    ("fold_linear", false, measured_fold),
    ("feed_linear", false, measured_feed),
    ("feed_spot", true, measured_feed),
];

#[inline(never)]
fn measured_decode_usual(corpus: &Corpus) -> usize {
    let mut frame = Frame::default();
    let mut trades = 0;
    for bytes in &corpus.frames {
        assert!(frame.decode(bytes, Some(Category::Linear)).is_ok());
        trades += black_box(&frame.trades).len();
    }
    trades
}

#[inline(never)]
fn measured_decode_general(corpus: &Corpus) -> usize {
    let mut frame = Frame::default();
    let mut trades = 0;
    for bytes in &corpus.frames {
        assert!(frame.decode_general(bytes, Some(Category::Linear)).is_ok());
        trades += black_box(&frame.trades).len();
    }
    trades
}

/// Lines of a file to candles, with nothing encoded.
#[inline(never)]
fn measured_fold(corpus: &Corpus) -> usize {
    let (mut engine, mut block) = (engine(), Block::default());
    let mut lines = 0;
    for frames in corpus.frames.chunks(500) {
        let piece = [frames.join(&b'\n'), vec![b'\n']].concat();
        assert!(block.decode(Category::Linear, None, b"", &piece).is_empty());
        assert!(engine.absorb(&mut block, lines).is_empty());
        lines += block.lines();
    }
    usize::try_from(engine.counters().trades_total).unwrap_or_default()
}

#[inline(never)]
fn measured_feed(corpus: &Corpus) -> usize {
    let mut engine = engine();
    let batches = corpus.frames.iter().map(|frame| engine.feed(frame, 0, Category::Linear));
    batches.map(|batch| batch.map_or(0, |batch| black_box(batch).messages().len())).sum()
}

fn engine() -> Engine {
    Engine::new(Settings { clock: Clock::Event, ..Settings::default() })
}

fn corpus(spot: bool) -> Corpus {
    Corpus::of(Shape { frames: FRAMES, symbols: 50, trades: None, spot })
}

fn check(name: &str, corpus: &Corpus, path: Path) {
    let read = path(corpus);
    // Feeding publishes candles too.
    assert!(read == corpus.trades || name.starts_with("feed") && read > corpus.trades, "{name}");
    let mut engine = engine();
    assert!(corpus.frames.iter().all(|frame| engine.feed(frame, 0, Category::Linear).is_ok()));
    assert_eq!(reference::of_engine(&engine), reference::candles(&corpus.frames), "{name}");
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let chosen = PATHS.iter().find(|(name, ..)| words.iter().any(|word| word == name));
    let Some((_, spot, path)) = chosen else {
        for (name, spot, path) in PATHS {
            let corpus = corpus(spot);
            check(name, &corpus, path);
            println!("{name} {}", corpus.trades);
        }
        return;
    };
    let corpus = corpus(*spot);
    black_box(path(&corpus));
}
