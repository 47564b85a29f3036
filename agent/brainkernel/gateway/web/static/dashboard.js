// The page: which view is shown (the address says so), over which time, and what comes in live.

import { ask, Live } from './api.js';
import { showDecision, showDecisions } from './decisions.js';
import { el } from './elements.js';
import { duration } from './format.js';
import { Plot } from './plot.js';
import { VIEWS } from './views.js';

const RANGES = [['300', '5 minutes'], ['900', '15 minutes'], ['3600', '1 hour'], ['21600', '6 hours'], ['86400', '24 hours'], ['604800', '7 days'], ['2592000', '30 days']];
const LIVE_UP_TO_S = 3600;
const REFRESH_MS = 30000;

const content = document.getElementById('content');
const range = document.getElementById('range');
const state = document.getElementById('state');
const now = document.getElementById('now');
let shown = { panels: [], tiles: null, view: null };
let newest = null;

const route = () => {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [page, id] = path.split('/');
  return { page: page || VIEWS[0].id, id, query: new URLSearchParams(query) };
};
const spanOf = (query) => (query.has('from') && query.has('to') ? { from: query.get('from'), to: query.get('to') } : { range: query.get('range') ?? range.value });
const go = (page, parameters) => { location.hash = `#/${page}?${new URLSearchParams(parameters)}`; };

class Panel {
  constructor(figure, span) {
    this.figure = figure;
    this.span = span;
    this.body = el('div', {}, el('p', { class: 'note' }, 'Loading …'));
    const behind = el('a', { class: 'behind', 'aria-label': `Decisions behind: ${figure.title}` }, 'decisions');
    this.behind = behind;
    this.element = el('section', { class: figure.wide ? 'card wide' : 'card' }, el('div', { class: 'cardhead' }, el('h3', {}, figure.title), behind), this.body);
    if (figure.names && !figure.sum) this.plot = new Plot(figure, (from, to) => this.#pick(from, to), (from, to) => go(route().page, { from, to }));
    this.#link();
  }

  #moments() {
    const seconds = Math.floor(Date.now() / 1000);
    return this.span.range ? { from: seconds - Number(this.span.range), to: seconds + 60 } : this.span;
  }

  #link() {
    this.behind.href = `#/decisions?${new URLSearchParams(this.figure.names ? { ...this.figure.behind, ...this.#moments() } : this.figure.behind)}`;
  }

  // How much of each there was, out of means and how many values are behind them.
  #sum(answer, since = 0) {
    for (const [name, { mean, samples }] of Object.entries(answer.series)) {
      const more = mean.reduce((sum, value, n) => sum + (answer.start_s + n * answer.step_s >= since ? (value ?? 0) * samples[n] : 0), 0);
      this.sums.set(name, (this.sums.get(name) ?? 0) + more);
      this.until = Math.max(this.until, answer.start_s + mean.length * answer.step_s);
    }
    if (!this.body.contains(document.activeElement)) this.body.replaceChildren(this.figure.sum(this.sums, this.#moments()));
  }

  // A forecast is of now: none for a time in the past.
  #trend(event) {
    const trend = event.overview?.trends.find((one) => this.figure.forecast && this.span.range && one.name === this.figure.names[0]);
    return trend && trend.now !== null && trend.slope_per_h !== null ? trend : null;
  }

  #pick(from, to) {
    go('decisions', { ...this.figure.behind, from, to: to + 1 });
  }

  async load() {
    if (!this.figure.names) return;
    try {
      const answer = await ask('/api/series', [...Object.entries(this.span), ...this.figure.names.map((name) => ['name', name])]);
      if (this.figure.sum) {
        this.sums = new Map();
        this.until = 0;
        this.#sum(answer);
        return;
      }
      this.figure.derive?.(answer);
      this.lines = Object.keys(answer.series).sort().map((name) => ({ name, label: this.figure.label(name) ?? name }));
      if (this.body.firstChild !== this.plot.element) this.body.replaceChildren(this.plot.element);
      this.plot.show(answer, this.lines);
    } catch (error) {
      this.body.replaceChildren(el('p', { class: 'note', role: 'alert' }, error.message));
    }
  }

  live(event) {
    if (this.figure.rows) {
      const open = this.body.contains(document.activeElement);
      if (!open) this.body.replaceChildren(this.figure.rows(event));
    } else if (event.tail && this.sums && Number(this.span.range) <= LIVE_UP_TO_S) {
      const names = Object.keys(event.tail.series).filter((name) => this.sums.has(name));
      this.#sum({ ...event.tail, series: Object.fromEntries(names.map((name) => [name, event.tail.series[name]])) }, this.until);
    } else if (event.tail && this.lines && Number(this.span.range) <= LIVE_UP_TO_S) {
      const tail = { ...event.tail };
      this.figure.derive?.(tail);
      this.plot.append(tail);
    }
    if (this.lines) this.plot.follow(this.#trend(event), event.overview?.anomalies ?? []);
    this.#link();
  }
}

function showView(view, query) {
  const span = spanOf(query);
  if (span.range) range.value = span.range;
  now.hidden = Boolean(span.range);
  const panels = view.figures.map((figure) => new Panel(figure, span));
  const tiles = el('ul', { class: 'tiles', 'aria-label': 'Now' });
  shown = { panels, tiles, view };
  content.replaceChildren(el('h2', {}, view.title), tiles, el('div', { class: 'grid' }, panels.map((panel) => panel.element)));
  loadAll(panels);
  if (newest) take(newest);
  live.watch(panels.flatMap((panel) => panel.figure.names ?? []));
}

// One after the other: the daemon answers a few questions a second, and the upper ones are seen first.
async function loadAll(panels) {
  for (const panel of panels) {
    if (shown.panels !== panels) return;
    await panel.load();
  }
}

function render() {
  shown.panels.forEach((panel) => panel.plot?.destroy());
  shown = { panels: [], tiles: null, view: null };
  const { page, id, query } = route();
  const view = VIEWS.find((one) => one.id === page);
  document.title = `${view ? view.title : id ? `Decision ${id}` : 'Decisions'} · BrainKernel`;
  for (const link of document.querySelectorAll('nav a')) {
    if (link.dataset.page !== page) {
      link.removeAttribute('aria-current');
    } else {
      link.setAttribute('aria-current', 'page');
      link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
  }
  range.disabled = !view;
  if (view) showView(view, query);
  else if (page === 'decision' && /^\d+$/.test(id ?? '')) showDecision(content, id);
  else showDecisions(content, query);
}

function take(event) {
  newest = event;
  const { overview } = event;
  state.classList.toggle('away', !event.connected);
  state.textContent = event.connected && overview
    ? `${overview.mode}${overview.paused ? ', paused' : ''} · ${overview.strategy?.strategy ?? 'no strategy'} · LLM ${overview.llm.backend} · ${overview.counts.active_limits} limited · up ${duration(overview.uptime_s)}`
    : 'the daemon does not answer; its figures are from before';
  if (!shown.view) return;
  shown.tiles.replaceChildren(...shown.view.tiles(event).map(({ label, text, note, href }) =>
    el('li', {}, el('a', { href }, el('span', { class: 'label' }, label), el('strong', {}, text), el('span', { class: 'label' }, note)))));
  shown.panels.forEach((panel) => panel.live(event));
}

const live = new Live(take, () => {
  state.classList.add('away');
  state.textContent = 'no connection to the gateway; trying again';
});

document.getElementById('views').append(
  ...VIEWS.map((view, n) => el('li', {}, el('a', { href: `#/${view.id}`, 'data-page': view.id, accesskey: String(n + 1) }, view.title))),
  el('li', {}, el('a', { href: '#/decisions', 'data-page': 'decisions' }, 'Decisions')));
range.append(...RANGES.map(([value, label]) => el('option', { value, selected: value === '900' }, label)));
range.addEventListener('change', () => go(route().page, { range: range.value }));
now.addEventListener('click', () => go(route().page, { range: range.value }));
document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault();
  content.focus();
});
window.addEventListener('hashchange', () => {
  render();
  content.focus({ preventScroll: true });
  scrollTo(0, 0);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => shown.panels.forEach((panel) => panel.plot?.recolour()));
setInterval(() => {
  if (!document.hidden) loadAll(shown.panels);
}, REFRESH_MS);
render();
if (!shown.view) live.watch([]);
