// The other half of page_data.py: what the page carries, unpacked.

async function unpacked(text, rows, count) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const plain = new Uint8Array(await new Response(stream).arrayBuffer());
  return Array.from({ length: rows }, (_, row) => {
    const from = row * 4 * count;
    return Int32Array.from({ length: count }, (_, at) => {
      const k = from + at;
      const folded = plain[k] | (plain[k + count] << 8) | (plain[k + 2 * count] << 16) | (plain[k + 3 * count] << 24);
      return (folded >>> 1) ^ -(folded & 1);
    });
  });
}

function times({ start, step, count, gaps }) {
  const missing = new Map(gaps);
  const out = new Float64Array(count);
  let at = start;
  for (let row = 0; row < count; row += 1) {
    if (row) at += step * (1 + (missing.get(row) ?? 0));
    out[row] = at;
  }
  return out;
}

async function candlesOf(pair, maxGap) {
  const time = times(pair.time);
  const count = time.length;
  const [opened, moved, above, below, volume] = await unpacked(pair.ticks, 5, count);
  const scale = 10 ** -pair.decimals;
  const out = { name: pair.name, time, step: pair.time.step, count };
  for (const column of ["open", "high", "low", "close", "volume"]) out[column] = new Float64Array(count);
  let close = 0;
  for (let row = 0; row < count; row += 1) {
    const open = close + opened[row];
    close = open + moved[row];
    out.open[row] = open * scale;
    out.close[row] = close * scale;
    out.high[row] = (Math.max(open, close) + above[row]) * scale;
    out.volume[row] = volume[row] ** 2;
    out.low[row] = (Math.min(open, close) - below[row]) * scale;
  }
  // Averages never cross a gap that the strategy does not cross.
  const cuts = new Set(pair.time.gaps.filter(([, missing]) => missing > maxGap).map(([row]) => row));
  out.gaps = new Set(pair.time.gaps.map(([row]) => row));
  out.fast = average(out.close, 15, cuts);
  out.slow = average(out.close, 40, cuts);
  return out;
}

function average(values, size, cuts) {
  const out = new Float64Array(values.length).fill(NaN);
  let sum = 0;
  let first = 0;
  for (let row = 0; row < values.length; row += 1) {
    if (cuts.has(row)) {
      sum = 0;
      first = row;
    }
    sum += values[row];
    if (row - first >= size) sum -= values[row - size];
    if (row - first >= size - 1) out[row] = sum / size;
  }
  return out;
}

async function curveOf(packed, count) {
  const [steps] = await unpacked(packed.steps, 1, count);
  const scale = 10 ** -packed.decimals;
  const out = new Float64Array(count);
  let sum = 0;
  for (let row = 0; row < count; row += 1) {
    sum += steps[row];
    out[row] = sum * scale;
  }
  return out;
}

function tradeOf(row, index) {
  const [pair, side, entry, exit, regime, gross, net, pnl, reason, bars, ambiguous, mfe, mae, levels, legs] = row;
  const [price, stop, ...targets] = levels;
  return {
    index, pair, side, regime, gross, net, pnl, reason, bars, mfe, mae, price, stop, targets,
    ambiguous: Boolean(ambiguous),
    entry: entry * 1000,
    exit: exit === null ? null : exit * 1000,
    legs: legs.map(([name, time, at, fraction, r]) => ({ name, time: time * 1000, price: at, fraction, r })),
  };
}

export async function load(element) {
  const raw = JSON.parse(element.textContent);
  const data = { ...raw, trades: raw.trades.map(tradeOf) };
  data.refused = raw.refused.map(([pair, side, time, why]) => ({ pair, side, time: time * 1000, why }));
  data.pairs = await Promise.all(raw.pairs.map((pair) => candlesOf(pair, raw.maxGap)));
  if (raw.curve) {
    const { count } = raw.curve.time;
    const held = raw.curve.benchmark;
    data.curve = {
      unit: raw.curve.unit,
      time: times(raw.curve.time),
      equity: await curveOf(raw.curve.equity, count),
      held: held ? await curveOf(held, count) : null,
    };
  }
  return data;
}

// The first row at or after a time.
export function rowAt(time, wanted) {
  let low = 0;
  let high = time.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (time[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
