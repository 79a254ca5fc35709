// Tables that sort by any column, and the months as a heat map.
import { monthName, number, percent, signed, signedPercent, signOf } from "./format.js";

const CHUNK = 60;

// `columns`: {name, value(row), cell(row, element)?, text: whether it reads from the left}; without a name it is for the
// eye alone. `key` names a row for `reveal`, which is given back; `more` is the button for long tables.
export function sortable(table, columns, rows, { more, caption, key } = {}) {
  let order = [...rows];
  let shown = CHUNK;
  const head = document.createElement("thead");
  const body = document.createElement("tbody");
  const places = new Map();
  const line = head.insertRow();
  for (const column of columns) {
    const cell = document.createElement("th");
    cell.scope = "col";
    if (column.text) cell.className = "text";
    if (!column.name) {
      cell.className = "bars";
      cell.setAttribute("aria-hidden", "true");
      line.append(cell);
      continue;
    }
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = column.name;
    button.addEventListener("click", () => sort(column, cell));
    cell.append(button);
    line.append(cell);
  }
  if (caption) table.setAttribute("aria-label", caption);
  table.append(head, body);
  more?.addEventListener("click", () => {
    shown += CHUNK * 4;
    fill();
  });
  fill();
  return { reveal };

  function sort(column, cell) {
    const rising = cell.getAttribute("aria-sort") === (column.text ? null : "descending") || (column.text && cell.getAttribute("aria-sort") !== "ascending");
    for (const other of line.cells) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const missing = (value) => value === null || value === undefined;
    order = [...rows].sort((one, two) => {
      const [a, b] = [column.value(one), column.value(two)];
      if (missing(a) || missing(b)) return missing(a) - missing(b);
      const less = a < b ? -1 : a > b ? 1 : 0;
      return rising ? less : -less;
    });
    fill();
  }

  function fill() {
    places.clear();
    body.replaceChildren(...order.slice(0, shown).map(rowOf));
    if (!more) return;
    more.hidden = shown >= order.length;
    more.textContent = `Show more of ${order.length}`;
  }

  function rowOf(row) {
    const element = document.createElement("tr");
    columns.forEach((column, at) => {
      const cell = document.createElement(at ? "td" : "th");
      if (!at) cell.scope = "row";
      if (column.text) cell.className = "text";
      if (column.cell) column.cell(row, cell);
      else cell.textContent = column.value(row) ?? "–";
      element.append(cell);
    });
    if (key) {
      places.set(key(row), element);
      if (key(row) === table.dataset.chosen) element.setAttribute("aria-current", "true");
    }
    return element;
  }

  // Marks the row of a key, which may not be among those shown.
  function reveal(wanted) {
    table.dataset.chosen = wanted;
    body.querySelector("[aria-current]")?.removeAttribute("aria-current");
    const row = places.get(wanted);
    if (!row) return;
    row.setAttribute("aria-current", "true");
    const frame = table.parentElement; // moved by itself: scrollIntoView would move the page too
    const above = row.offsetTop - head.offsetHeight;
    const below = row.offsetTop + row.offsetHeight - frame.clientHeight;
    if (frame.scrollTop > above) frame.scrollTop = above;
    else if (frame.scrollTop < below) frame.scrollTop = below;
  }
}

export function figure(value, show) {
  return (row, cell) => {
    const found = value(row);
    if (found === null || found === undefined) cell.textContent = "–";
    else {
      cell.textContent = show(found);
      cell.classList.add(...[signOf(found)].filter(Boolean));
    }
  };
}

export function groupTables(place, groups, account) {
  for (const { title, rows } of groups) {
    if (!rows.length) continue;
    const card = document.createElement("section");
    card.className = "card";
    const head = document.createElement("h2");
    head.textContent = `By ${title.toLowerCase().replace("utc", "UTC")}`;
    head.id = `by-${groups.findIndex((group) => group.title === title)}`;
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-labelledby", head.id);
    const table = document.createElement("table");
    scroll.append(table);
    card.append(head, scroll);
    place.append(card);
    const most = Math.max(...rows.map((row) => Math.abs(row[4])), 1e-9);
    sortable(table, groupColumns(title, most, account), rows, { caption: head.textContent });
  }
}

function groupColumns(title, most, account) {
  const name = (row) => (title.startsWith("Hour") ? `${String(row[0]).padStart(2, "0")}:00` : String(row[0]).replace("_", " "));
  const columns = [
    { name: title, text: true, value: name },
    { name: "n", value: (row) => row[1] },
    { name: "won", value: (row) => row[2], cell: (row, cell) => { cell.textContent = percent(row[2], 0); } },
    { name: "R net", value: (row) => row[4], cell: figure((row) => row[4], (r) => signed(r, 1)) },
    { name: "R gross", value: (row) => row[3], cell: figure((row) => row[3], (r) => signed(r, 1)) },
    { name: "PF", value: (row) => row[5], cell: (row, cell) => { cell.textContent = row[5] === null ? "–" : number(row[5], 2); } },
  ];
  if (account) columns.push({ name: "P&L", value: (row) => row[6], cell: figure((row) => row[6], (pnl) => signed(pnl, 0)) });
  columns.push({ name: "", cell: (row, cell) => meter(cell, row[4] / most) });
  return columns;
}

function meter(cell, share) {
  cell.className = "bars";
  cell.setAttribute("aria-hidden", "true");
  const outer = document.createElement("span");
  outer.className = "meter";
  const inner = document.createElement("i");
  inner.className = share < 0 ? "minus" : "plus";
  inner.style.setProperty("--share", Math.abs(share));
  outer.append(inner);
  cell.append(outer);
}

export function monthMap(section, months, account) {
  const show = account ? (value) => signedPercent(value) : (value) => `${signed(value, 1)} R`;
  section.querySelector("#months-hint").textContent = account
    ? "Change of equity over each month, with the trades that closed in it."
    : "Net R of the trades that closed in each month.";
  const most = Math.max(...months.map((month) => Math.abs(month[2])), 1e-9);
  const place = section.querySelector("#month-list");
  const years = [...new Set(months.map((month) => month[0]))];
  for (const year of years) {
    const of = months.filter((month) => month[0] === year);
    const total = account ? of.reduce((all, month) => all * (1 + month[2]), 1) - 1 : of.reduce((all, month) => all + month[2], 0);
    const head = document.createElement("p");
    head.className = "months-head";
    const name = document.createElement("span");
    name.textContent = year;
    const sum = document.createElement("span");
    sum.textContent = show(total);
    sum.className = signOf(total);
    head.append(name, sum);
    const list = document.createElement("ol");
    list.className = years.length > 1 ? "year" : "year few";
    for (let month = 1; month <= 12; month += 1) {
      const found = of.find((one) => one[1] === month);
      if (found || years.length > 1) list.append(monthCell(month, found, most, show));
    }
    place.append(head, list);
  }
  section.hidden = false;
}

function monthCell(month, found, most, show) {
  const cell = document.createElement("li");
  const name = document.createElement("span");
  name.textContent = monthName(month);
  cell.append(name);
  if (!found) {
    cell.className = "none";
    return cell;
  }
  const value = document.createElement("b");
  value.textContent = show(found[2]);
  const count = document.createElement("small");
  count.textContent = `${found[3]} trade${found[3] === 1 ? "" : "s"}`;
  cell.append(value, count);
  cell.style.setProperty("--tone", found[2] < 0 ? "var(--down)" : "var(--up)");
  cell.style.setProperty("--heat", Math.abs(found[2]) / most);
  return cell;
}
