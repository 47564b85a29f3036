// Numbers as people read them. A unit is one of: ms, s, pct, ratio, bytes, per_s, usd, count, cores, percent_of_core.

const small = (value) => {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 1000) return Math.round(value).toLocaleString('en');
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return trimmed(value.toFixed(1));
  if (size >= 0.01) return trimmed(value.toFixed(2));
  return value.toPrecision(2);
};

const trimmed = (text) => text.replace(/\.?0+$/, '');

function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let index = 0;
  while (Math.abs(value) >= 1024 && index < units.length - 1) {
    value /= 1024;
    index += 1;
  }
  return `${small(value)} ${units[index]}`;
}

function milliseconds(value) {
  if (value !== 0 && Math.abs(value) < 1) return `${small(value * 1000)} µs`;
  return Math.abs(value) >= 1000 ? `${small(value / 1000)} s` : `${small(value)} ms`;
}

const FORMATS = {
  ms: milliseconds,
  s: (value) => duration(value),
  pct: (value) => `${small(value)} %`,
  ratio: (value) => `${small(100 * value)} %`,
  bytes,
  per_s: (value) => `${small(value)}/s`,
  usd: (value) => `$${value === 0 ? '0' : value < 0.01 ? trimmed(value.toFixed(6)) : value.toFixed(2)}`,
  count: small,
};

/** A value in its unit; a dash where there is none. */
export function format(value, unit = 'count') {
  return value === null || value === undefined || !Number.isFinite(value) ? '–' : FORMATS[unit](value);
}

/** A time span. */
export function duration(seconds) {
  const size = Math.abs(seconds);
  if (size < 1) return `${small(seconds * 1000)} ms`;
  if (size < 120) return `${small(seconds)} s`;
  if (size < 7200) return `${Math.round(seconds / 60)} min`;
  return size < 172800 ? `${small(seconds / 3600)} h` : `${small(seconds / 86400)} d`;
}

/** A moment in local time, with the date. */
export function moment(seconds) {
  return new Date(seconds * 1000).toLocaleString('sv-SE');
}
