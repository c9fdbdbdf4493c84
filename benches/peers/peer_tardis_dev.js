// tardis-dev: its mapper's trades through the public `compute` with `computeTradeBars`.
// `node peer_tardis_dev.js CORPUS EXACT RUNS` speaks as measuring.py does; NODE_PATH names the place of the package.
"use strict";

const { readFileSync } = require("node:fs");
const { compute, computeTradeBars, normalizeTrades } = require("tardis-dev");

const MINUTE_MS = 60_000;

async function fold(frames) {
  const mapper = normalizeTrades("bybit", new Date("2026-01-01"));
  const received = new Date();
  async function* trades() {
    for (const frame of frames) {
      yield* mapper.map(JSON.parse(frame), received);
    }
  }
  const candles = new Map();
  for await (const bar of compute(trades(), computeTradeBars({ kind: "time", interval: MINUTE_MS }))) {
    if (bar.type === "trade_bar") {
      const values = [bar.open, bar.high, bar.low, bar.close, bar.volume];
      candles.set(`${bar.symbol} ${bar.timestamp.valueOf() - MINUTE_MS}`, values);
    }
  }
  return candles;
}

// The last window of each symbol is missing, as nothing has closed it.
function check(rows, candles) {
  const last = new Map(rows.map(([symbol, start]) => [symbol, start]));
  const expected = rows.filter(([symbol, start]) => start !== last.get(symbol));
  if (expected.length !== candles.size) {
    throw new Error(`${candles.size} candles, expected ${expected.length}`);
  }
  for (const [symbol, start, ...values] of expected) {
    const found = candles.get(`${symbol} ${start}`) ?? [];
    const isSame = values.every((text, at) => Math.abs(found[at] - text) <= 1e-9 * Math.abs(text));
    if (!isSame) {
      throw new Error(`${symbol} ${start} is ${found}, expected ${values}`);
    }
  }
}

async function main([corpus, exactPath, runs]) {
  const frames = readFileSync(corpus, "utf8").split("\n").filter(Boolean);
  const exact = JSON.parse(readFileSync(exactPath, "utf8"));
  check(exact.candles, await fold(frames));
  const rates = [];
  for (let run = 0; run < Number(runs); run += 1) {
    const begin = process.hrtime.bigint();
    await fold(frames);
    rates.push((exact.trades * 1e9) / Number(process.hrtime.bigint() - begin));
  }
  const { version } = require("tardis-dev/package.json");
  console.log(JSON.stringify({ version, trades_per_s: rates }));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`tardis-dev: ${error.message}`);
  process.exitCode = 1;
});
