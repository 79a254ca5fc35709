// Candles of a pair with both averages and every trade; one trade in full with its levels and fills.
import { clock, duration, moment, number, percent, price, signed, signOf, valueTicks } from "./format.js";
import { rowAt } from "./data.js";
import { View, tag, words } from "./view.js";

export function candleChart(section, data, chosen) {
  const canvas = section.querySelector("canvas");
  const readout = section.querySelector(".readout");
  const card = section.querySelector("#trade");
  const buttons = data.pairs.map((pair, index) => pairButton(pair.name, index));
  const previous = section.querySelector("#previous");
  const next = section.querySelector("#next");
  const view = new View(canvas, { drag: "move", draw, moved: tell });
  let pair = 0;
  let trade = null;
  let marks = [];
  let refused = [];

  section.querySelector("#pairs").append(...buttons);
  previous.addEventListener("click", () => step(-1));
  next.addEventListener("click", () => step(1));
  canvas.addEventListener("click", pick);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (event.key === "n") step(1);
    if (event.key === "p") step(-1);
  });
  section.hidden = false;
  showPair(0);
  return { select, view };

  function pairButton(name, index) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      const last = data.trades.findLast((one) => one.pair === index);
      if (last) select(last);
      else {
        select(null);
        showPair(index);
      }
    });
    return button;
  }

  function showPair(index) {
    pair = index;
    const candles = data.pairs[index];
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", at === index));
    const row = (time) => (has(candles, time) ? rowAt(candles.time, time) : null);
    marks = data.trades.filter((one) => one.pair === index).map((one) => ({ one, row: row(one.entry) })).filter((m) => m.row !== null);
    refused = data.refused.filter((one) => one.pair === index).map((one) => ({ one, row: row(one.time) })).filter((m) => m.row !== null);
    view.show(candles.time, candles.count - span(), candles.count);
    card.replaceChildren(candles.count ? `${marks.length} trades of ${candles.name}` : `No candles of ${candles.name} on this page`);
    describe();
    tell(view);
  }

  function span() {
    return Math.max(60, Math.round(view.width / 6));
  }

  // Without a trade the buttons begin at the ends.
  function step(by) {
    if (!data.trades.length) return;
    const at = trade ? trade.index + by : by > 0 ? 0 : data.trades.length - 1;
    if (data.trades[at]) select(data.trades[at]);
  }

  function select(one) {
    trade = one;
    if (one) {
      if (one.pair !== pair || !view.count) showPair(one.pair);
      const { time, step: size } = data.pairs[pair];
      if (has(data.pairs[pair], one.entry)) {
        const from = rowAt(time, one.entry);
        const to = one.exit === null ? from + one.bars : rowAt(time, one.exit + size);
        const wanted = Math.max(span(), (to - from) * 1.7);
        view.go((from + to) / 2 - wanted / 2, (from + to) / 2 + wanted / 2);
      }
      fillCard(one);
    }
    previous.disabled = !data.trades.length || one?.index === 0;
    next.disabled = !data.trades.length || one?.index === data.trades.length - 1;
    describe();
    chosen(one);
    view.point(null);
  }

  function fillCard(one) {
    const { name, step: size } = data.pairs[one.pair];
    const head = document.createElement("strong");
    head.textContent = `#${one.index + 1} ${name}`;
    const side = document.createElement("span");
    side.className = `side ${one.side > 0 ? "up" : "down"}`;
    side.textContent = one.side > 0 ? "LONG" : "SHORT";
    const line = document.createElement("span");
    const parts = [["net", `${signed(one.net, 2)} R`, signOf(one.net)], ["gross", `${signed(one.gross, 2)} R`]];
    if (one.pnl !== null) parts.push(["P&L", signed(one.pnl, 2), signOf(one.pnl)]);
    for (const part of words(parts)) line.append(part, " · ");
    line.lastChild.remove();
    const more = document.createElement("p");
    const legs = one.legs.map((leg) => `${leg.name} ${percent(leg.fraction, 0)} at ${price(leg.price)}`).join(", ");
    const until = one.exit === null ? "open" : `${moment(one.exit + size)}, ${duration(one.exit - one.entry)}`;
    more.textContent =
      `${moment(one.entry + size)} → ${until} · in ${price(one.price)} · ${legs} · ${one.regime.replace("_", " ")} · ` +
      `best ${signed(one.mfe, 1)} R, worst ${signed(one.mae, 1)} R${one.ambiguous ? " · ambiguous candle" : ""}` +
      (has(data.pairs[one.pair], one.entry) ? "" : " · its candles are not on this page");
    card.replaceChildren(head, side, line, more);
  }

  function describe() {
    const { name, count, time } = data.pairs[pair];
    const words = count ? `${count} candles from ${moment(time[0])} to ${moment(time[count - 1])}` : "no candles";
    canvas.setAttribute("aria-label", `${name}: ${words}, ${marks.length} trades${trade ? `; trade ${trade.index + 1} shown` : ""}`);
  }

  function tell({ cursor }) {
    const candles = data.pairs[pair];
    if (!candles.count) return readout.replaceChildren();
    const row = cursor ?? Math.max(0, Math.min(candles.count, Math.round(view.to)) - 1);
    const tone = candles.close[row] >= candles.open[row] ? "up" : "down";
    const parts = [["", moment(candles.time[row])]];
    for (const name of ["open", "high", "low", "close"]) parts.push([name[0].toUpperCase(), price(candles[name][row]), tone]);
    if (!Number.isNaN(candles.slow[row])) parts.push(["SMA 15", price(candles.fast[row])], ["SMA 40", price(candles.slow[row])]);
    const said = refused.find((mark) => mark.row === row);
    if (said && cursor !== null) parts.push(["refused:", said.one.why]);
    readout.replaceChildren(...words(parts));
  }

  // A click on an entry chooses its trade.
  function pick(event) {
    if (view.travelled > 5) return;
    const x = event.clientX - canvas.getBoundingClientRect().left;
    const near = marks.map((mark) => [Math.abs(view.x(mark.row) - x), mark]).sort((a, b) => a[0] - b[0])[0];
    if (near && near[0] < 12 && near[1].one !== trade) select(near[1].one);
  }

  function draw() {
    const { pen, width, height, first, last } = view;
    const candles = data.pairs[pair];
    let low = Infinity;
    let high = -Infinity;
    for (let row = first; row < last; row += 1) {
      low = Math.min(low, candles.low[row]);
      high = Math.max(high, candles.high[row]);
    }
    const shown = trade && trade.pair === pair && has(candles, trade.entry) ? trade : null;
    const start = shown ? rowAt(candles.time, shown.entry) : -1;
    const end = shown ? (shown.exit === null ? start + shown.bars : rowAt(candles.time, shown.exit)) : -1;
    const visible = shown && end >= view.from && start <= view.to;
    if (visible) {
      low = Math.min(low, shown.stop, ...shown.targets);
      high = Math.max(high, shown.stop, ...shown.targets);
    }
    const room = (high - low || high || 1) * 0.06;
    const y = (value) => 14 + (1 - (value - low + room) / (high - low + 2 * room)) * (height * 0.88 - 14);
    view.drawTimes();
    for (const at of valueTicks(low, high, Math.max(3, Math.floor(height / 70)))) {
      pen.fillStyle = view.color("grid");
      pen.fillRect(0, Math.round(y(at)), width, 1);
      view.font(11.5);
      pen.fillStyle = view.color("soft");
      pen.textAlign = "left";
      pen.textBaseline = "middle";
      if (!visible) pen.fillText(price(at), width + 7, y(at));
    }
    pen.save();
    pen.beginPath();
    pen.rect(0, 0, width, height);
    pen.clip();
    volumes(candles);
    if (visible) zones(shown, start, end, y);
    bodies(candles, y);
    curve(candles.slow, y, "slow");
    curve(candles.fast, y, "fast");
    gaps(candles);
    for (const mark of refused) if (mark.row >= first - 1 && mark.row <= last) arrow(mark, candles, y, "soft", true);
    for (const mark of marks) {
      if (mark.row >= first - 1 && mark.row <= last) arrow(mark, candles, y, mark.one.side > 0 ? "up" : "down", false, mark.one === trade);
    }
    if (visible) fills(shown, candles, y);
    pen.restore();
    if (visible) levelTags(shown, y);
    view.drawCursor();
  }

  // A sixth of the height at the foot, the largest in view the full of it.
  function volumes(candles) {
    const { pen, height } = view;
    const colors = [view.color("down"), view.color("up")];
    const bars = [];
    let most = 0;
    const wide = columnWidth();
    for (const [row, end] of columns(candles)) {
      let sum = 0;
      for (let at = row; at < end; at += 1) sum += candles.volume[at];
      bars.push([(row + end - 1) / 2, sum / (end - row), candles.close[end - 1] >= candles.open[row]]);
      most = Math.max(most, sum / (end - row));
    }
    if (!most) return;
    pen.globalAlpha = 0.28;
    for (const [row, volume, rising] of bars) {
      pen.fillStyle = colors[Number(rising)];
      const tall = (volume / most) * (height / 6);
      pen.fillRect(view.x(row) - wide / 2, height - tall, wide, tall);
    }
    pen.globalAlpha = 1;
  }

  // Candles that share a pixel are drawn as one, but never across a gap: [first, end) of each column.
  function stride() {
    return Math.max(1, Math.ceil((1.6 * (view.to - view.from)) / view.width));
  }

  function columnWidth() {
    return Math.max(1, Math.min(18, (view.width / (view.to - view.from)) * stride() * 0.68));
  }

  function* columns(candles) {
    const size = stride();
    for (let row = Math.floor(view.first / size) * size; row < view.last; ) {
      let end = Math.min(candles.count, row - (row % size) + size);
      for (let at = row + 1; at < end; at += 1) if (candles.gaps.has(at)) end = at;
      yield [row, end];
      row = end;
    }
  }

  function bodies(candles, y) {
    const { pen } = view;
    const wide = columnWidth();
    for (const side of ["up", "down"]) {
      pen.fillStyle = view.color(side);
      for (const [row, end] of columns(candles)) {
        const rising = candles.close[end - 1] >= candles.open[row];
        if (rising !== (side === "up")) continue;
        let low = candles.low[row];
        let high = candles.high[row];
        for (let at = row + 1; at < end; at += 1) {
          low = Math.min(low, candles.low[at]);
          high = Math.max(high, candles.high[at]);
        }
        const x = view.x((row + end - 1) / 2);
        pen.fillRect(x - 0.5, y(high), 1, Math.max(1, y(low) - y(high)));
        const top = y(Math.max(candles.open[row], candles.close[end - 1]));
        const bottom = y(Math.min(candles.open[row], candles.close[end - 1]));
        pen.fillRect(x - wide / 2, top, wide, Math.max(1, bottom - top));
      }
    }
  }

  function curve(values, y, color) {
    const { pen } = view;
    const step = Math.max(1, Math.floor((view.to - view.from) / view.width));
    pen.beginPath();
    let drawing = false;
    for (let row = Math.max(0, view.first - step); row < Math.min(view.count, view.last + step); row += step) {
      if (Number.isNaN(values[row])) drawing = false;
      else if (drawing) pen.lineTo(view.x(row), y(values[row]));
      else {
        pen.moveTo(view.x(row), y(values[row]));
        drawing = true;
      }
    }
    pen.strokeStyle = view.color(color);
    pen.lineWidth = 1.7;
    pen.lineJoin = "round";
    pen.stroke();
  }

  function gaps(candles) {
    const { pen } = view;
    pen.strokeStyle = view.color("soft");
    pen.setLineDash([2, 4]);
    for (const row of candles.gaps) {
      if (row < view.first || row > view.last) continue;
      pen.beginPath();
      pen.moveTo(view.x(row - 0.5), 0);
      pen.lineTo(view.x(row - 0.5), view.height);
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  function arrow(mark, candles, y, color, hollow, strong) {
    const { pen } = view;
    const up = mark.one.side > 0;
    const x = view.x(mark.row);
    const tip = up ? y(candles.low[mark.row]) + 5 : y(candles.high[mark.row]) - 5;
    const size = strong ? 8 : 6;
    pen.beginPath();
    pen.moveTo(x, tip);
    pen.lineTo(x - size, tip + (up ? size * 1.5 : -size * 1.5));
    pen.lineTo(x + size, tip + (up ? size * 1.5 : -size * 1.5));
    pen.closePath();
    pen.lineWidth = hollow ? 1.3 : 2;
    pen.strokeStyle = view.color(hollow ? color : "panel");
    pen.stroke();
    pen.fillStyle = view.color(color);
    if (!hollow) pen.fill();
  }

  function zones(one, start, end, y) {
    const { pen } = view;
    const from = view.x(start);
    const wide = Math.max(4, view.x(end) - from);
    pen.globalAlpha = 0.1;
    for (const [level, color] of [[one.stop, "down"], [one.targets.at(-1), "up"]]) {
      pen.fillStyle = view.color(color);
      pen.fillRect(from, Math.min(y(one.price), y(level)), wide, Math.abs(y(level) - y(one.price)));
    }
    pen.globalAlpha = 1;
    pen.setLineDash([5, 4]);
    pen.lineWidth = 1;
    for (const [level, color] of levelsOf(one)) {
      pen.strokeStyle = view.color(color);
      pen.beginPath();
      pen.moveTo(from, y(level));
      pen.lineTo(from + wide, y(level));
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  function levelsOf(one) {
    return [[one.stop, "down", "SL"], [one.price, "entry", "in"], ...one.targets.map((target, at) => [target, "up", `TP${at + 1}`])];
  }

  function levelTags(one, y) {
    const tags = levelsOf(one).map(([level, color, name]) => ({ text: `${name} ${price(level)}`, color, y: y(level) })).sort((a, b) => a.y - b.y);
    for (let at = 1; at < tags.length; at += 1) tags[at].y = Math.max(tags[at].y, tags[at - 1].y + 15);
    for (const { text, color, y: at } of tags) tag(view, at, text, view.color(color));
  }

  function fills(one, candles, y) {
    const { pen } = view;
    one.legs.forEach((leg) => {
      if (!has(candles, leg.time)) return;
      const x = view.x(rowAt(candles.time, leg.time));
      const at = y(leg.price);
      const color = view.color(leg.r > 0 ? "up" : leg.r < 0 ? "down" : "entry");
      pen.beginPath();
      pen.arc(x, at, 5.5, 0, 7);
      pen.fillStyle = color;
      pen.fill();
      pen.lineWidth = 1.8;
      pen.strokeStyle = view.color("ink");
      pen.stroke();
      const text = `${leg.name} ${signed(leg.r, 2)}R`;
      view.font(12, 650);
      const left = x > view.width * 0.6;
      const wide = pen.measureText(text).width;
      const from = left ? x - 10 - wide : x + 10;
      const above = leg.price >= one.price ? at - 11 : at + 11;
      pen.globalAlpha = 0.82;
      pen.fillStyle = view.color("panel");
      pen.fillRect(from - 3, above - 9, wide + 6, 18);
      pen.globalAlpha = 1;
      pen.textAlign = "left";
      pen.textBaseline = "middle";
      pen.fillStyle = color;
      pen.fillText(text, from, above);
    });
  }
}

function has(candles, time) {
  return candles !== undefined && candles.time[rowAt(candles.time, time)] === time;
}
