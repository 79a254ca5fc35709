// Equity with the benchmark, and the drawdown below on the same time axis.
import { moment, number, percent, signed, signedPercent, signOf, valueTicks } from "./format.js";
import { View, tag, words } from "./view.js";

// In USDT a drawdown is a share of the highest so far, in R it is a difference.
export function equityChart(section, { unit, time, equity, held }) {
  const money = unit === "USDT";
  const amount = (value, decimals = 2) => (money ? number(value, decimals) : `${signed(value, 1)} R`);
  const depth = (value) => (money ? percent(-value) : `${number(-value, 1)} R`);
  const canvas = section.querySelector("canvas");
  const readout = section.querySelector(".readout");
  const start = equity[0];
  const fall = fallOf(equity, money);
  const view = new View(canvas, { drag: "zoom", draw, moved: tell });
  const deepest = fall.reduce((worst, value, row) => (value < fall[worst] ? row : worst), 0);
  const made = money ? `${number(start, 0)} to ${number(equity.at(-1), 0)} USDT` : `0 to ${amount(equity.at(-1))}`;
  canvas.setAttribute(
    "aria-label",
    `${money ? "Equity" : "Net R summed up"} from ${made}; deepest drawdown ${depth(fall[deepest])} on ${moment(time[deepest])}` +
      (held ? `; the basket held: ${signedPercent(held.at(-1) / held[0] - 1)}` : ""),
  );
  if (!money) section.querySelector("h2").textContent = "Net R, signal after signal";
  section.querySelector("#curve-name").textContent = money ? "account" : "closed signals";
  const toggle = section.querySelector("#held");
  toggle.hidden = !held;
  let compared = Boolean(held);
  toggle.addEventListener("click", () => {
    compared = !compared;
    toggle.setAttribute("aria-pressed", compared);
    view.draw();
  });
  section.hidden = false;
  view.show(time);
  tell(view);
  return view;

  function tell({ cursor }) {
    const row = cursor ?? time.length - 1;
    const parts = [["", moment(time[row])], [money ? "account" : "sum", amount(equity[row])]];
    if (money) parts.push(["", signedPercent(equity[row] / start - 1), signOf(equity[row] - start)]);
    if (held) parts.push(["basket", signedPercent(held[row] / held[0] - 1)]);
    parts.push(["drawdown", depth(fall[row]), fall[row] < 0 ? "down" : ""]);
    readout.replaceChildren(...words(parts));
  }

  function draw() {
    const { pen, width, height } = view;
    const split = Math.round(height * 0.7);
    const [low, high] = bounds(view, compared ? [equity, held] : [equity]);
    const room = (high - low || Math.abs(high) || 1) * 0.07;
    const y = (value) => 8 + (1 - (value - low + room) / (high - low + 2 * room)) * (split - 18);
    view.drawTimes();
    const now = y(equity[view.last - 1]);
    for (const at of valueTicks(low, high, 5)) label(y(at), Math.abs(y(at) - now) > 16 ? number(at, high - low < 20 ? 2 : 0) : "");
    if (start > low - room && start < high + room) dashed(y(start));

    pen.save();
    pen.beginPath();
    pen.rect(0, 0, width, height);
    pen.clip();
    if (compared) line(held, y, "soft", 1.4);
    shade(equity, y, split - 6, "accent", 0.1);
    line(equity, y, "accent", 2);
    const [worst] = bounds(view, [fall]);
    const top = split + 10;
    const below = (value) => top + (worst < 0 ? value / worst : 0) * (height - top - 6);
    pen.fillStyle = view.color("line");
    pen.fillRect(0, top, width, 1);
    shade(fall, below, top, "down", 0.22);
    line(fall, below, "down", 1.4);
    pen.restore();
    tag(view, top + 4, money ? "0%" : "0 R", view.color("soft"));
    if (worst < 0) tag(view, Math.max(top + 20, height - 8), `−${depth(worst)}`, view.color("down"));
    tag(view, now, amount(equity[view.last - 1], 0), view.color("accent"), true);
    if (view.cursor !== null) dot(view.x(view.cursor), y(equity[view.cursor]));
    view.drawCursor();
  }

  function label(y, text) {
    const { pen } = view;
    pen.fillStyle = view.color("grid");
    pen.fillRect(0, Math.round(y), view.width, 1);
    view.font(11.5);
    pen.fillStyle = view.color("soft");
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    pen.fillText(text, view.width + 7, y);
  }

  function dashed(y) {
    const { pen } = view;
    pen.strokeStyle = view.color("soft");
    pen.lineWidth = 1;
    pen.setLineDash([4, 4]);
    pen.beginPath();
    pen.moveTo(0, Math.round(y) + 0.5);
    pen.lineTo(view.width, Math.round(y) + 0.5);
    pen.stroke();
    pen.setLineDash([]);
  }

  function dot(x, y) {
    const { pen } = view;
    pen.beginPath();
    pen.arc(x, y, 4.5, 0, 7);
    pen.fillStyle = view.color("accent");
    pen.fill();
    pen.strokeStyle = view.color("panel");
    pen.lineWidth = 2;
    pen.stroke();
  }

  function line(values, y, color, wide) {
    const { pen } = view;
    pen.beginPath();
    trace(values, y);
    pen.strokeStyle = view.color(color);
    pen.lineWidth = wide;
    pen.lineJoin = "round";
    pen.stroke();
  }

  function shade(values, y, ground, color, strength) {
    const { pen } = view;
    pen.beginPath();
    const [from, to] = trace(values, y);
    pen.lineTo(to, ground);
    pen.lineTo(from, ground);
    pen.globalAlpha = strength;
    pen.fillStyle = view.color(color);
    pen.fill();
    pen.globalAlpha = 1;
  }

  // Where several values share a pixel, its lowest and highest: nothing is smoothed away.
  function trace(values, y) {
    const { pen, first, last } = view;
    const stride = Math.max(1, (view.to - view.from) / view.width);
    if (stride <= 1.5) {
      for (let row = Math.max(0, first - 1); row < Math.min(view.count, last + 1); row += 1) pen.lineTo(view.x(row), y(values[row]));
    } else {
      for (let at = first; at < last; at += stride) {
        const end = Math.min(last, at + stride);
        let low = Infinity;
        let high = -Infinity;
        for (let row = Math.floor(at); row < end; row += 1) {
          low = Math.min(low, values[row]);
          high = Math.max(high, values[row]);
        }
        const x = view.x(at);
        const rising = values[Math.ceil(end) - 1] >= values[Math.floor(at)];
        pen.lineTo(x, y(rising ? low : high));
        pen.lineTo(x, y(rising ? high : low));
      }
      pen.lineTo(view.x(last - 1), y(values[last - 1]));
    }
    return [view.x(Math.max(0, stride <= 1.5 ? first - 1 : first)), view.x(Math.min(view.count - 1, stride <= 1.5 ? last : last - 1))];
  }
}

function fallOf(equity, money) {
  let peak = -Infinity;
  return equity.map((value) => {
    peak = Math.max(peak, value);
    if (!money) return value - peak;
    return peak > 0 ? value / peak - 1 : 0;
  });
}

function bounds(view, curves) {
  let low = Infinity;
  let high = -Infinity;
  for (const values of curves) {
    for (let row = view.first; row < view.last; row += 1) {
      low = Math.min(low, values[row]);
      high = Math.max(high, values[row]);
    }
  }
  return [low, high];
}
