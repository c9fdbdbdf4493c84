//! Where the time of a frame goes, stage by stage, and how it grows; in trades a second.
//!
//! Every stage is checked against the slow reference before it is timed. `cargo test --benches`
//! runs each once on a small corpus.

mod contender;
mod corpus;
mod reference;

use std::hint::black_box;
use std::time::Duration;

use contender::Folded;
use corpus::{Corpus, Shape};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tapecast_core::engine::Engine;
use tapecast_core::frame::Frame;
use tapecast_core::lines::Block;
use tapecast_core::settings::{Clock, Settings};
use tapecast_core::trade::Category;

/// Frames of a corpus: many where there is timing, few where the benches are only tested.
fn frames() -> usize {
    if std::env::args().any(|word| word == "--bench") { 10_000 } else { 300 }
}

fn shape(symbols: usize, trades: Option<usize>, spot: bool) -> Shape {
    Shape { frames: frames(), symbols, trades, spot }
}

fn engine() -> Engine {
    let kept = Settings { history_candles: usize::MAX, ..Settings::default() };
    Engine::new(Settings { clock: Clock::Event, ..kept })
}

fn feed(engine: &mut Engine, corpus: &Corpus) {
    for frame in &corpus.frames {
        let fed = engine.feed(black_box(frame), 0, Category::Linear);
        let Ok(batch) = fed else { panic!("a frame was refused") };
        black_box(batch);
    }
}

/// Every frame twice gives the exact candles of once.
fn check_feed(corpus: &Corpus) {
    let mut engine = engine();
    let twice = corpus.frames.iter().flat_map(|frame| [frame, frame]).cloned().collect();
    feed(&mut engine, &Corpus { frames: twice, trades: 2 * corpus.trades });
    assert_eq!(reference::of_engine(&engine), reference::candles(&corpus.frames));
}

fn check_shape(corpus: &Corpus) {
    let frames = corpus.frames.len();
    assert!((18..=26).contains(&(10 * corpus.trades / frames)), "{} trades", corpus.trades);
    let single = |frame: &&Vec<u8>| frame.windows(4).filter(|four| four == b"\"T\":").count() == 1;
    let singles = corpus.frames.iter().filter(single).count();
    assert!((60..=80).contains(&(100 * singles / frames)), "{singles} frames of one trade");
}

/// Reads every trade of a corpus by one of the two paths.
fn decode(frame: &mut Frame, corpus: &Corpus, general: bool) -> usize {
    let category = Some(Category::Linear);
    let decoded = corpus.frames.iter().map(|bytes| {
        let bytes = black_box(bytes);
        let read = if general {
            frame.decode_general(bytes, category)
        } else {
            frame.decode(bytes, category)
        };
        assert!(read.is_ok(), "a frame was refused");
        black_box(&frame.trades).len()
    });
    decoded.sum()
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, spot) in [("linear", false), ("spot", true)] {
        let corpus = Corpus::of(shape(50, None, spot));
        check_shape(&corpus);
        check_feed(&corpus);
        group.throughput(Throughput::Elements(corpus.trades as u64));
        for (path, general) in [("usual", false), ("general", true)] {
            let mut frame = Frame::default();
            assert_eq!(decode(&mut frame, &corpus, general), corpus.trades);
            group.bench_function(BenchmarkId::new(path, name), |bencher| {
                bencher.iter(|| decode(&mut frame, &corpus, general));
            });
        }
    }
}

/// The frames as lines of a file, in pieces as it is read.
fn pieces(corpus: &Corpus) -> Vec<Vec<u8>> {
    corpus.frames.chunks(500).map(|lines| [lines.join(&b'\n'), vec![b'\n']].concat()).collect()
}

/// Frames to candles with nothing encoded, as a whole file is read.
fn absorb(engine: &mut Engine, pieces: &[Vec<u8>]) {
    let mut block = Block::default();
    let mut lines = 0;
    for piece in pieces {
        let odd = block.decode(Category::Linear, None, b"", black_box(piece));
        assert!(odd.is_empty(), "a line is no frame");
        assert!(engine.absorb(&mut block, lines).is_empty(), "a frame was refused");
        lines += block.lines();
    }
}

fn candles(criterion: &mut Criterion) {
    let corpus = Corpus::of(shape(50, None, false));
    assert_eq!(Folded::of(&corpus.frames).candles(), reference::candles(&corpus.frames));
    let mut group = criterion.benchmark_group("candles");
    group.throughput(Throughput::Elements(corpus.trades as u64));
    group.bench_function("serde_json and HashMap", |bencher| {
        bencher.iter(|| Folded::of(black_box(&corpus.frames)));
    });
    let pieces = pieces(&corpus);
    let mut checked = engine();
    absorb(&mut checked, &pieces);
    assert_eq!(reference::of_engine(&checked), reference::candles(&corpus.frames));
    group.bench_function("lines to exact candles, no trade twice", |bencher| {
        bencher.iter_batched_ref(engine, |it| absorb(it, &pieces), BatchSize::PerIteration);
    });
}

fn feeding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("feed");
    let mut bench = |id: BenchmarkId, shape: Shape| {
        let corpus = Corpus::of(shape);
        check_feed(&corpus);
        group.throughput(Throughput::Elements(corpus.trades as u64));
        group.bench_function(id, |bencher| {
            bencher.iter_batched_ref(engine, |fed| feed(fed, &corpus), BatchSize::PerIteration);
        });
    };
    bench(BenchmarkId::new("shape", "linear"), shape(50, None, false));
    bench(BenchmarkId::new("shape", "spot"), shape(50, None, true));
    for symbols in [1, 600] {
        bench(BenchmarkId::new("symbols", symbols), shape(symbols, None, false));
    }
    for trades in [1, 8, 64] {
        bench(BenchmarkId::new("trades a frame", trades), shape(50, Some(trades), false));
    }
}

fn checkpoints(criterion: &mut Criterion) {
    let corpus = Corpus::of(shape(600, None, false));
    let mut fed = engine();
    feed(&mut fed, &corpus);
    let bytes = fed.checkpoint();
    let mut group = criterion.benchmark_group("checkpoint");
    group.throughput(Throughput::Elements(corpus.trades as u64));
    group.bench_function("taken", |bencher| bencher.iter(|| black_box(&fed).checkpoint()));
    group.bench_function("restored", |bencher| {
        bencher.iter(|| Engine::restored(black_box(&bytes), |_| {}).is_ok());
    });
}

criterion_group! {
    name = stages;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = decoding, candles, feeding, checkpoints
}
criterion_main!(stages);
