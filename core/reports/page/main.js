// Puts the page together.
import { percent, signed, sortableMoment } from "./format.js";
import { load } from "./data.js";
import { candleChart } from "./candles.js";
import { equityChart } from "./equity.js";
import { figure, groupTables, monthMap, sortable } from "./tables.js";

const part = (id) => document.getElementById(id);
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const views = [];

function repaint() {
  for (const view of views) view.draw();
}

part("theme").addEventListener("click", () => {
  const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  repaint();
});
dark.addEventListener("change", repaint);

const data = await load(part("data")).catch((error) => {
  const note = document.createElement("p");
  note.textContent = "This browser cannot unpack the charts and tables; one of the last few years can.";
  part("notes").append(note);
  throw error;
});
if (data.curve) views.push(equityChart(part("equity"), data.curve));

let table = null;
if (data.trades.length) {
  const name = (trade) => data.pairs[trade.pair]?.name ?? "?";
  const columns = [
    { name: "Time (UTC)", text: true, value: (trade) => trade.entry, cell: timeCell },
    { name: "Pair", text: true, value: name },
    { name: "Side", text: true, value: (trade) => (trade.side > 0 ? "LONG" : "SHORT") },
    { name: "R net", value: (trade) => trade.net, cell: figure((trade) => trade.net, (r) => signed(r, 2)) },
    { name: "R gross", value: (trade) => trade.gross, cell: figure((trade) => trade.gross, (r) => signed(r, 2)) },
    { name: "Exit", text: true, value: (trade) => (trade.reason ?? "OPEN").replace("_", " ") },
    { name: "Bars", value: (trade) => trade.bars },
    { name: "Regime", text: true, value: (trade) => trade.regime.replace("_", " ") },
  ];
  if (data.account) columns.splice(3, 0, { name: "P&L", value: (trade) => trade.pnl, cell: figure((trade) => trade.pnl, (pnl) => signed(pnl, 2)) });
  part("trades-title").textContent = `${data.account ? "Trades" : "Signals"} (${data.trades.length})`;
  part("trades").hidden = false;
  table = sortable(part("trade-table"), columns, data.trades, { more: part("more"), key: (trade) => String(trade.index) });
}

let chart = null;
if (data.pairs.some((pair) => pair.count)) {
  chart = candleChart(part("candles"), data, (trade) => table?.reveal(trade ? String(trade.index) : ""));
  views.push(chart.view);
  chart.select(data.trades.at(-1) ?? null);
}
if (data.months.length) monthMap(part("months"), data.months, data.account);
groupTables(part("groups"), data.groups, data.account);
if (data.refusals.length) {
  sortable(
    part("refusal-table"),
    [
      { name: "Rule", text: true, value: (row) => row[0] },
      { name: "refused", value: (row) => row[1] },
      { name: "followed", value: (row) => row[2] },
      { name: "won", value: (row) => row[3], cell: (row, cell) => { cell.textContent = row[3] === null ? "–" : percent(row[3], 0); } },
      { name: "R gross", value: (row) => row[4], cell: figure((row) => row[4], (r) => signed(r, 1)) },
      { name: "R net", value: (row) => row[5], cell: figure((row) => row[5], (r) => signed(r, 1)) },
    ],
    data.refusals,
  );
  part("refusals").hidden = false;
}
root.dataset.ready = "yes";

function timeCell(trade, cell) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "go";
  button.textContent = sortableMoment(trade.entry + (data.pairs[trade.pair]?.step ?? 0));
  button.addEventListener("click", () => {
    chart?.select(trade);
    part("candles").scrollIntoView({ block: "start" });
  });
  cell.append(button);
}
