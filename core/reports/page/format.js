// Numbers and times as people read them. Times are epoch milliseconds, UTC.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const HOUR = 3_600_000;
const STEPS = [0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 96, 168, 336].map((hours) => hours * HOUR);

export const two = (number) => String(number).padStart(2, "0");
export const monthName = (month) => MONTHS[month - 1];

export function number(value, decimals) {
  const [whole, part] = Math.abs(value).toFixed(decimals).split(".");
  const text = whole.replace(/\B(?=(\d{3})+$)/g, ",") + (part ? `.${part}` : "");
  return value < 0 && Number(Math.abs(value).toFixed(decimals)) > 0 ? `−${text}` : text;
}

export function signed(value, decimals) {
  const text = number(value, decimals);
  return text.startsWith("−") || Number(value.toFixed(decimals)) === 0 ? text : `+${text}`;
}

export const percent = (share, decimals = 1) => `${number(share * 100, decimals)}%`;
export const signedPercent = (share, decimals = 1) => `${signed(share * 100, decimals)}%`;
export const signOf = (value) => (value > 0 ? "up" : value < 0 ? "down" : "");

// Five digits that count: 43,210 and 17.480 and 0.83245.
export function price(value) {
  const digits = value ? 4 - Math.floor(Math.log10(Math.abs(value))) : 0;
  return number(value, Math.min(10, Math.max(0, digits)));
}

export function day(ms) {
  const at = new Date(ms);
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()}`;
}

export function clock(ms) {
  const at = new Date(ms);
  return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
}

export const moment = (ms) => `${day(ms)} ${clock(ms)}`;

export function sortableMoment(ms) {
  return new Date(ms).toISOString().slice(0, 16).replace("T", " ");
}

export function duration(ms) {
  const hours = ms / HOUR;
  if (hours < 1) return `${Math.round(ms / 60_000)} min`;
  return hours < 48 ? `${number(hours, hours % 1 ? 1 : 0)} h` : `${number(hours / 24, 1)} days`;
}

// Round moments between two times, at most so many, with their names.
export function timeTicks(first, last, most) {
  const step = STEPS.find((wanted) => (last - first) / wanted <= most);
  if (!step) return monthTicks(first, last, most);
  const ticks = [];
  for (let at = Math.ceil(first / step) * step; at <= last; at += step) {
    const date = new Date(at);
    const dayName = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
    const midnight = date.getUTCHours() === 0 && date.getUTCMinutes() === 0;
    ticks.push([at, midnight ? dayName : clock(at)]);
  }
  return ticks;
}

function monthTicks(first, last, most) {
  const monthOf = (ms) => new Date(ms).getUTCFullYear() * 12 + new Date(ms).getUTCMonth();
  const [from, to] = [monthOf(first - 1) + 1, monthOf(last)];
  const every = [1, 2, 3, 6, 12, 24].find((months) => (to - from) / months <= most) ?? 60;
  const ticks = [];
  for (let month = Math.ceil(from / every) * every; month <= to; month += every) {
    const year = Math.floor(month / 12);
    ticks.push([Date.UTC(year, month % 12), `${MONTHS[month % 12]} ${two(year % 100)}`]);
  }
  return ticks;
}

// Round values between two, at most so many.
export function valueTicks(low, high, most) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(span / most));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((wanted) => span / wanted <= most) ?? 10 * power;
  const ticks = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) ticks.push(at);
  return ticks;
}
