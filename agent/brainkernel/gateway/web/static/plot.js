// One plot over time: uPlot, with our units, colours and keys.

import uPlot from './vendor/uplot/uPlot.esm.js';
import { el, table } from './elements.js';
import { format, moment } from './format.js';

const HEIGHT = 220;
const COLOURS = 8;
const VALUES_SHOWN = 120;
const BRIDGED = 10; // points that may be missing in a line: a busy second is no gap
const WHOLE = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();
const BINARY = Array.from({ length: 45 }, (_, power) => 2 ** power);

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const last = (values) => values.findLast((value) => value !== null && value !== undefined);

// Times of day, with the date where a new day begins; days where a step is one.
function timesOf(ticks, step) {
  let day = '';
  return ticks.map((tick) => {
    const [date, time] = moment(tick).split(' ');
    if (step >= 86400) return date.slice(5);
    const text = step < 60 ? time : time.slice(0, 5);
    const shown = date === day ? text : `${text}\n${date.slice(5)}`;
    day = date;
    return shown;
  });
}

/**
 * A plot of `lines` ({name, label}) in one unit. `onPick(from_s, to_s)` is called for a moment that somebody chose, `onZoom` for a span.
 */
export class Plot {
  constructor(figure, onPick, onZoom) {
    this.figure = figure;
    this.onPick = onPick;
    this.onZoom = onZoom;
    this.box = el('div', { class: 'plot', tabindex: 0, role: 'group', 'aria-roledescription': 'plot', on: { keydown: (e) => this.#key(e) } });
    this.note = el('p', { class: 'note', hidden: true }, 'Nothing was measured in this time.');
    this.values = el('details', { class: 'values', on: { toggle: () => this.#showValues() } }, el('summary', {}, 'Values'));
    this.element = el('div', {}, this.box, this.note, this.values);
    this.data = null;
    this.observer = new ResizeObserver(() => this.plot?.setSize({ width: this.#width(), height: HEIGHT }));
    this.observer.observe(this.box);
  }

  /** Show an answer of /api/series; `lines` say which of its figures, and what they are called. */
  show(answer, lines) {
    if (this.destroyed) return; // its view was left while the answer was on its way
    const present = lines.filter((line) => answer.series[line.name]);
    const length = present.length ? answer.series[present[0].name].mean.length : 0;
    this.lines = present;
    this.step = answer.step_s;
    this.banded = present.length === 1 && answer.step_s > 1;
    const times = Array.from({ length }, (_, n) => answer.start_s + n * answer.step_s);
    const columns = present.flatMap((line) => {
      const { low, mean, high } = answer.series[line.name];
      return this.banded ? [mean, low, high] : [mean];
    });
    this.data = [times, ...columns.map((column) => [...column])];
    this.span = [answer.start_s, answer.start_s + Math.max(1, length) * answer.step_s];
    this.#draw();
  }

  /** Add live points: `tail` is of the same form; what is older than the newest point is known already. */
  append(tail) {
    if (!this.data || tail.step_s > this.step) return;
    const times = this.data[0];
    for (let n = 0; n < Math.max(...this.lines.map((line) => tail.series[line.name]?.mean.length ?? 0), 0); n += 1) {
      const time = tail.start_s + n * tail.step_s;
      const values = this.lines.map((line) => tail.series[line.name]?.mean[n] ?? null);
      if (values.every((value) => value === null) || (times.length && time < times.at(-1) + this.step)) continue;
      [time, ...(this.banded ? [values[0], values[0], values[0]] : values)].forEach((value, column) => this.data[column].push(value));
    }
    const width = this.span[1] - this.span[0];
    this.span = [Math.max(this.span[1], (times.at(-1) ?? 0) + this.step) - width, Math.max(this.span[1], (times.at(-1) ?? 0) + this.step)];
    while (times.length && times[0] < this.span[0]) this.data.forEach((column) => column.shift());
    if (this.plot) this.plot.setData(this.#columns());
    else this.#draw();
    this.#describe();
  }

  /** Show where it goes: `trend` of the overview (or none), and when it was unlike itself: `anomalies` of the overview. */
  follow(trend, anomalies) {
    const names = new Set(this.lines?.map((line) => line.name));
    this.anomalies = anomalies.filter((one) => names.has(one.name));
    const before = this.trend;
    this.trend = trend;
    if (this.plot && Boolean(before) !== Boolean(trend)) this.#draw();
    else this.plot?.setData(this.#columns());
  }

  /** Draw anew, in the colours of now. */
  recolour() {
    if (this.data) this.#draw();
  }

  destroy() {
    this.destroyed = true;
    this.observer.disconnect();
    this.plot?.destroy();
  }

  #width() {
    return Math.max(200, this.box.clientWidth);
  }

  #draw() {
    this.plot?.destroy();
    this.plot = null;
    const empty = !this.data.slice(1).some((column) => column.some((value) => value !== null));
    this.note.hidden = !empty;
    this.box.hidden = empty;
    this.values.hidden = empty;
    if (empty) return;
    this.plot = new uPlot(this.#options(), this.#columns(), this.box);
    this.#describe();
  }

  // With the forecast: two points more, now and as far ahead as a quarter of what is seen.
  #columns() {
    if (!this.trend) return this.data;
    const [from, to] = this.span;
    const ahead = (to - from) / 4;
    const { now, slope_per_h: slope, bound } = this.trend;
    const [times, ...columns] = this.data;
    const length = times.length;
    const forecast = [...Array(length).fill(null), now, now + ((slope ?? 0) * ahead) / 3600];
    const limit = Array(length + 2).fill(bound);
    return [[...times, to, to + ahead], ...columns.map((column) => [...column, null, null]), forecast, ...(bound === null ? [] : [limit])];
  }

  #shade(plot) {
    plot.ctx.fillStyle = css('--mark');
    for (const { begun_s: begun, ended_s: ended } of this.anomalies ?? []) {
      const left = Math.max(plot.bbox.left, plot.valToPos(begun, 'x', true));
      const right = Math.min(plot.bbox.left + plot.bbox.width, plot.valToPos(ended ?? this.span[1], 'x', true));
      if (right > left) plot.ctx.fillRect(left, plot.bbox.top, right - left, plot.bbox.height);
    }
  }

  #options() {
    const unit = this.figure.unit;
    const axis = { stroke: css('--quiet'), grid: { stroke: css('--line'), width: 1 }, ticks: { stroke: css('--line'), width: 1 } };
    return {
      width: this.#width(),
      height: HEIGHT,
      scales: { x: { time: true, range: () => [this.span[0], this.span[1] + (this.trend ? (this.span[1] - this.span[0]) / 4 : 0)] }, y: { range: (_plot, low, high) => this.#bounds(low, high) } },
      axes: [
        { ...axis, space: 48, values: (_plot, ticks, _axis, _space, step) => timesOf(ticks, step) },
        { ...axis, size: 70, ...(unit === 'bytes' ? { incrs: BINARY } : unit === 'count' ? { incrs: WHOLE } : {}), values: (_plot, ticks) => ticks.map((tick) => format(tick, unit)) },
      ],
      series: [{ label: 'Time', value: (_plot, time) => (time === null ? '' : moment(time)) }, ...this.#series(unit)],
      bands: this.banded ? [{ series: [3, 2], fill: css('--band') }] : [],
      cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: 'time' }, points: { size: 7 } },
      legend: { live: true },
      hooks: { drawClear: [(plot) => this.#shade(plot)], setSelect: [(plot) => this.#selected(plot)], ready: [(plot) => this.#listen(plot)], setData: [(plot) => this.#rest(plot)] },
    };
  }

  #series(unit) {
    const line = (label, index) => ({
      label,
      stroke: css(`--series-${(index % COLOURS) + 1}`),
      width: 1.8,
      dash: index >= COLOURS ? [6, 3] : [],
      value: (_plot, value) => format(value, unit),
      points: { show: this.data[0].length < 40 },
      gaps: (plot, _series, _from, _to, gaps) => gaps.filter(([from, to]) => to - from > (BRIDGED * this.step * plot.bbox.width) / (this.span[1] - this.span[0])),
    });
    const edge = (label) => ({ label, stroke: 'transparent', value: (_plot, value) => format(value, unit), points: { show: false } });
    const dashed = (label, colour) => ({ ...line(label, 0), stroke: css(colour), dash: [6, 4], width: 1.4, spanGaps: true });
    const lines = this.lines.map((one, index) => line(one.label, index));
    const edges = this.banded ? [edge('lowest'), edge('highest')] : [];
    const ahead = this.trend ? [dashed('if it goes on', '--series-2'), ...(this.trend.bound === null ? [] : [dashed('bound', '--quiet')])] : [];
    return [...lines, ...edges, ...ahead];
  }

  #bounds(low, high) {
    if (low === null || high === null) return [0, 1];
    const bound = this.figure.max;
    const bottom = Math.min(0, low);
    const top = bound === undefined ? high * 1.08 : Math.max(bound, high);
    return [bottom, top > bottom ? top : bottom + 1];
  }

  #listen(plot) {
    plot.over.addEventListener('click', () => this.#pick());
    plot.over.addEventListener('mouseleave', () => this.#rest(plot));
    this.#rest(plot);
  }

  // While nobody points at a moment the legend tells the newest values.
  #rest(plot) {
    if (!plot.over.matches(':hover') && document.activeElement !== this.box) plot.setLegend({ idx: this.data[0].length - 1 });
  }

  #selected(plot) {
    const { left, width } = plot.select;
    if (width < 8) return;
    this.zoomed = true;
    this.onZoom(Math.floor(plot.posToVal(left, 'x')), Math.ceil(plot.posToVal(left + width, 'x')));
  }

  #pick() {
    const time = this.data[0][this.plot.cursor.idx];
    if (this.zoomed || time === undefined) return;
    this.onPick(time, time + Math.max(this.step, 1));
  }

  #key(event) {
    if (!this.plot || event.target !== this.box) return;
    const times = this.data[0];
    const now = this.plot.cursor.idx ?? times.length - 1;
    const steps = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: times.length - 1, PageUp: now - 10, PageDown: now + 10 };
    if (event.key in steps) {
      const index = Math.min(times.length - 1, Math.max(0, steps[event.key]));
      this.plot.setCursor({ left: this.plot.valToPos(times[index], 'x'), top: 20 });
    } else if (event.key === 'Enter') {
      this.#pick();
    } else {
      return;
    }
    event.preventDefault();
  }

  #describe() {
    const newest = this.lines.map((line, index) => `${line.label} ${format(last(this.data[1 + index * (this.banded ? 3 : 1)]), this.figure.unit)}`);
    this.box.setAttribute('aria-label', `${this.figure.title}: ${newest.join(', ')}. Arrow keys move, Enter shows the decisions.`);
    if (this.values.open) this.#showValues();
  }

  #showValues() {
    this.values.querySelector('.scroll')?.remove();
    if (!this.values.open || !this.data) return;
    const columns = this.lines.map((_line, index) => this.data[1 + index * (this.banded ? 3 : 1)]);
    const first = Math.max(0, this.data[0].length - VALUES_SHOWN);
    const rows = this.data[0].slice(first).map((time, n) => [moment(time), ...columns.map((c) => ({ number: format(c[first + n], this.figure.unit) }))]);
    this.values.append(table(this.figure.title, ['Time', ...this.lines.map((line) => line.label)], rows.reverse(), 'Nothing was measured.'));
  }
}
