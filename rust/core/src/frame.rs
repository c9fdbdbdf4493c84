//! One exchange frame → trades.
//!
//! The usual spellings are read by `shapes`, with the same result. The general path is right for all
//! JSON: any key order, white space, escapes, unknown, missing and repeated fields (the last one
//! counts, as in every common parser). It goes by `tokens`: plain ones are read sixteen bytes at a time,
//! all others by jiter. Keys are told apart to the letter: `s` and `S`, `T` and `ts`, `i` and `id` are
//! different fields.
//!
//! Source of the fields: <https://bybit-exchange.github.io/docs/v5/websocket/public/trade>.

use jiter::{JiterError, JiterErrorType, Peek};
use rustc_hash::FxHashMap;

use crate::error::{ErrorKind, FrameError};
use crate::fields::{Draft, Field, Symbols, parse_ms};
use crate::shapes;
use crate::tokens::Tokens;
use crate::trade::{Category, Trade};

/// The longest frame that is read. The exchange's largest (1,024 trades) has about 180 KiB.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// What a topic of public trades begins with.
pub const TOPIC_PREFIX: &str = "publicTrade.";

/// A decoded frame. Reused from frame to frame, so that its buffers are allocated once.
#[derive(Debug, Default)]
pub struct Frame {
    /// The symbol (for options the base coin) of the topic.
    pub topic: String,
    /// When the exchange made the frame, in milliseconds since the epoch.
    pub ts_ms: Option<i64>,
    /// The distinct symbols of the trades.
    pub symbols: Vec<String>,
    /// The trades, in the order of the frame.
    pub trades: Vec<Trade>,
    symbol_index: FxHashMap<String, u32>,
}

impl Frame {
    /// Decodes `bytes` into this frame, whole or not at all.
    ///
    /// Without a `category` the symbols may fit the topic by the rule of any category.
    ///
    /// # Errors
    ///
    /// A [`FrameError`] for the first fault; the content of this frame is then unspecified.
    pub fn decode(&mut self, bytes: &[u8], category: Option<Category>) -> Result<(), FrameError> {
        self.trades.clear();
        if self.decode_usual(bytes, category) {
            return Ok(());
        }
        self.decode_general(bytes, category)
    }

    /// Reads a frame of a usual shape behind the trades of those before; `false`, with this frame
    /// in any state, where it is of another.
    fn decode_usual(&mut self, bytes: &[u8], category: Option<Category>) -> bool {
        self.topic.clear();
        // An option's symbols are never those of its topic, as they are in the usual shapes.
        let may_be_usual = category != Some(Category::Option) && bytes.len() <= MAX_FRAME_BYTES;
        may_be_usual && shapes::decode(self, bytes).is_some()
    }

    /// Decodes one more frame behind the trades of those before, whole or not at all.
    ///
    /// Everything but the trades is then of this frame. Returns how many trades came before.
    pub(crate) fn decode_more(
        &mut self,
        bytes: &[u8],
        category: Option<Category>,
    ) -> Result<usize, FrameError> {
        let kept = self.trades.len();
        if self.decode_usual(bytes, category) {
            return Ok(kept);
        }
        self.trades.truncate(kept);
        let before = std::mem::take(&mut self.trades);
        let decoded = self.decode_general(bytes, category);
        let own = std::mem::replace(&mut self.trades, before);
        decoded?;
        self.trades.extend(own);
        Ok(kept)
    }

    /// [`Self::decode`] by the general path alone, for comparing and measuring.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn decode_general(
        &mut self,
        bytes: &[u8],
        category: Option<Category>,
    ) -> Result<(), FrameError> {
        self.clear();
        let text = checked_text(bytes)?;
        let mut reader = Reader { tokens: Tokens::new(text), frame: self, faults: Vec::new() };
        reader.read().map_err(|error| json_error(&error, bytes))?;
        let Reader { faults, .. } = reader;
        if let Some((_, fault)) = faults.into_iter().next() {
            return Err(fault);
        }
        self.check_symbols(category)
    }

    fn clear(&mut self) {
        self.topic.clear();
        self.ts_ms = None;
        self.symbols.clear();
        self.symbol_index.clear();
        self.trades.clear();
    }

    /// Every symbol must be the topic's, or for options begin with the topic's base coin.
    fn check_symbols(&self, category: Option<Category>) -> Result<(), FrameError> {
        let topic = self.topic.as_str();
        let is_option_of =
            |symbol: &str| symbol.strip_prefix(topic).is_some_and(|rest| rest.starts_with('-'));
        let fits = |symbol: &str| match category {
            Some(Category::Option) => is_option_of(symbol),
            Some(_) => symbol == topic,
            None => symbol == topic || is_option_of(symbol),
        };
        if self.symbols.iter().all(|symbol| fits(symbol)) {
            return Ok(());
        }
        // A symbol may stand there unused: in a repeated field, of which the last one counts.
        let symbol_of = |trade: &Trade| self.symbols[trade.symbol as usize].as_str();
        let Some(trade) = self.trades.iter().find(|trade| !fits(symbol_of(trade))) else {
            return Ok(());
        };
        let dash = if category == Some(Category::Option) { "-…" } else { "" };
        let found = (trade.byte, quoted(symbol_of(trade)));
        let expected = format!("\"{topic}{dash}\" as in the topic");
        Err(FrameError::new(
            ErrorKind::BadSymbol,
            "symbol",
            (found.0, found.1.as_bytes()),
            expected,
        ))
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn checked_text(bytes: &[u8]) -> Result<&str, FrameError> {
    if bytes.len() > MAX_FRAME_BYTES {
        let found = format!("{} bytes long", bytes.len());
        let expected = format!("at most {MAX_FRAME_BYTES} bytes");
        let at = (MAX_FRAME_BYTES, found.as_bytes());
        return Err(FrameError::new(ErrorKind::TooLarge, "frame", at, expected));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let found = format!("0x{:02x}", bytes[at]);
        FrameError::new(ErrorKind::BadUtf8, "frame byte", (at, found.as_bytes()), "UTF-8")
    })
}

fn json_error(error: &JiterError, bytes: &[u8]) -> FrameError {
    let (found, expected) = match &error.error_type {
        JiterErrorType::WrongType { actual, .. } => (format!("a JSON {actual}"), "a JSON object"),
        JiterErrorType::JsonError(kind) => (format!("not JSON ({kind})"), "one JSON object"),
    };
    let at = (error.index.min(bytes.len()), found.as_bytes());
    FrameError::new(ErrorKind::BadJson, "frame", at, expected)
}

/// Where a fault belongs: a later value of the same field replaces it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Topic,
    Time,
    Data,
}

/// Reads one frame. Faults of meaning are kept while reading goes on, because a repeated field may
/// mend them; only faults of JSON itself end the reading.
struct Reader<'a> {
    tokens: Tokens<'a>,
    frame: &'a mut Frame,
    faults: Vec<(Place, FrameError)>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), JiterError> {
        let (mut has_topic, mut has_data) = (false, false);
        let mut place = self.tokens.first_key(place_of)?;
        while let Some(known) = place {
            match known {
                Some(Place::Topic) => {
                    has_topic = true;
                    self.read_topic()?;
                }
                Some(Place::Time) => self.read_time()?,
                Some(Place::Data) => {
                    has_data = true;
                    self.read_data()?;
                }
                None => self.tokens.skip()?,
            }
            place = self.tokens.next_key(place_of)?;
        }
        self.tokens.finish()?;
        if !has_topic {
            self.missing(Place::Topic, "without \"topic\"");
        }
        if !has_data {
            self.missing(Place::Data, "without \"data\"");
        }
        Ok(())
    }

    fn missing(&mut self, place: Place, found: &str) {
        let at = (0, found.as_bytes());
        let expected = "a publicTrade message";
        self.faults.push((place, FrameError::new(ErrorKind::MissingField, "frame", at, expected)));
    }

    /// Takes note of what the newest value of a field came to.
    fn settle(&mut self, place: Place, fault: Option<FrameError>) {
        self.faults.retain(|(known, _)| *known != place);
        self.faults.extend(fault.map(|fault| (place, fault)));
    }

    fn read_topic(&mut self) -> Result<(), JiterError> {
        let peek = self.tokens.peek()?;
        let start = self.tokens.at();
        self.frame.topic.clear();
        if peek == Peek::String {
            let topic = &mut self.frame.topic;
            self.tokens.string(|text| {
                topic.push_str(text.strip_prefix(TOPIC_PREFIX).unwrap_or_default());
            })?;
        } else {
            self.tokens.skip()?;
        }
        let fault = self.frame.topic.is_empty().then(|| {
            let found = (start, self.tokens.since(start));
            FrameError::new(ErrorKind::BadTopic, "topic", found, "\"publicTrade.<symbol>\"")
        });
        self.settle(Place::Topic, fault);
        Ok(())
    }

    fn read_time(&mut self) -> Result<(), JiterError> {
        self.tokens.peek()?;
        let start = self.tokens.at();
        let time = if let Some(time) = self.tokens.plain_time() {
            Ok(time)
        } else {
            self.tokens.skip()?;
            parse_ms("frame time", (start, self.tokens.since(start)))
        };
        self.frame.ts_ms = time.as_ref().ok().copied();
        self.settle(Place::Time, time.err());
        Ok(())
    }

    fn read_data(&mut self) -> Result<(), JiterError> {
        let peek = self.tokens.peek()?;
        let start = self.tokens.at();
        self.frame.trades.clear();
        let mut fault = None;
        if peek == Peek::Array {
            let mut item = self.tokens.first_item()?;
            while let Some(peek) = item {
                let read = self.read_trade(peek)?;
                match read {
                    Ok(trade) => self.frame.trades.push(trade),
                    Err(error) if fault.is_none() => fault = Some(error),
                    Err(_) => {}
                }
                item = self.tokens.next_item()?;
            }
        } else {
            self.tokens.skip()?;
            let found = (start, self.tokens.since(start));
            fault = Some(FrameError::new(ErrorKind::BadType, "data", found, "an array of trades"));
        }
        self.settle(Place::Data, fault);
        Ok(())
    }

    fn read_trade(&mut self, peek: Peek) -> Result<Result<Trade, FrameError>, JiterError> {
        let start = self.tokens.at();
        if peek != Peek::Object {
            self.tokens.skip()?;
            let found = (start, self.tokens.since(start));
            let fault = FrameError::new(ErrorKind::BadType, "trade", found, "an object");
            return Ok(Err(fault));
        }
        let mut draft = Draft::new(start);
        let Frame { symbols: names, symbol_index: index, .. } = &mut *self.frame;
        let mut symbols = Symbols { names, index };
        let mut field = self.tokens.first_key(Field::of)?;
        while let Some(known) = field {
            match known {
                Some(known) => draft.read(known, &mut self.tokens, &mut symbols)?,
                None => self.tokens.skip()?,
            }
            field = self.tokens.next_key(Field::of)?;
        }
        Ok(draft.finish(self.frame.trades.len()))
    }
}

fn place_of(key: &[u8]) -> Option<Place> {
    match key {
        b"topic" => Some(Place::Topic),
        b"ts" => Some(Place::Time),
        b"data" => Some(Place::Data),
        _ => None,
    }
}
