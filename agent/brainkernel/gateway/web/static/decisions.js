// The decisions behind a figure, and the whole story of one.

import { ask } from './api.js';
import { bars, el, table } from './elements.js';
import { format, moment } from './format.js';

const PAGE = 50;
const FILTERS = { kind: 'kind', category: 'category', tier: 'tier', from: 'from', to: 'until', late_ms: 'slower than', within_ms: 'within' };
const words = (name) => name.replaceAll('_', ' ');
const seconds = (ns) => ns / 1e9;
const number = (text) => ({ number: text });

const shown = (name, value) => (name === 'from' || name === 'to' ? moment(Number(value)) : name.endsWith('_ms') ? format(Number(value), 'ms') : words(value));

function row(line) {
  return [
    el('a', { href: `#/decision/${line.id}` }, `#${line.id}`), moment(seconds(line.time_ns)), el('code', {}, line.exe), words(line.category),
    number(format(line.confidence, 'ratio')), line.tier, el('span', { class: `kind ${line.decision}` }, line.decision), line.limit, number(format(line.latency_ms, 'ms')),
    line.reason,
  ];
}

const HEADS = ['Decision', 'Time', 'Program', 'Category', 'Sure', 'Tier', 'Decided', 'Limit', 'Latency', 'Why'];

/** The list of decisions that a filter leaves; `into` gets it. */
export async function showDecisions(into, filter) {
  const chosen = Object.entries(FILTERS).filter(([name]) => filter.has(name));
  const lines = [];
  let before = null;
  const list = el('div', { class: 'list', 'aria-live': 'polite' });
  const more = el('button', { type: 'button', hidden: true, on: { click: () => load() } }, 'Older ones');
  const load = async () => {
    more.disabled = true;
    const parameters = [...filter].filter(([name]) => name in FILTERS).concat([['limit', PAGE]], before === null ? [] : [['before', before]]);
    try {
      const found = await ask('/api/decisions', parameters);
      lines.push(...found.decisions);
      before = found.next_before_id ?? null;
      list.replaceChildren(table('Decisions, newest first', HEADS, lines.map(row), 'No decision is like this.'));
      more.hidden = before === null;
    } catch (error) {
      list.append(el('p', { class: 'note', role: 'alert' }, error.message));
    }
    more.disabled = false;
  };
  into.replaceChildren(
    el('h2', {}, 'Decisions'),
    el('p', { class: 'filters' }, chosen.length ? chosen.map(([name, label]) => el('span', { class: 'filter' }, `${label} ${shown(name, filter.get(name))}`)) : 'All of them.',
      chosen.length ? el('a', { href: '#/decisions' }, 'all') : null),
    list, more);
  await load();
}

const facts = (caption, pairs) => table(caption, ['What', 'Is'], pairs.filter(([, value]) => value !== '' && value !== null && value !== undefined), 'Nothing is known.');

/** All of one decision: the event, the evidence, the verdict, the harm, the limit and what it achieved. */
export async function showDecision(into, id) {
  const loading = el('p', { class: 'note' }, 'Loading …');
  into.replaceChildren(el('h2', {}, `Decision #${id}`), loading);
  let shown;
  try {
    shown = storyOf(await ask(`/api/decisions/${id}`));
  } catch (error) {
    shown = [el('h2', {}, `Decision #${id}`), el('p', { class: 'note', role: 'alert' }, error.message)];
  }
  if (loading.isConnected) into.replaceChildren(...shown); // else something else was chosen since
}

function storyOf(story) {
  const { line } = story;
  const waterfall = story.spans.map((span) => ({ label: words(span.stage), value: span.ms, text: format(span.ms, 'ms') }));
  return [
    el('p', {}, el('a', { href: '#/decisions' }, 'All decisions')),
    el('h2', {}, `Decision #${line.id}: `, el('code', {}, line.exe)),
    el('p', { class: 'lead' }, el('span', { class: `kind ${line.decision}` }, line.decision), ' ', line.reason),
    el('div', { class: 'grid' },
      card('The event', facts('The event', [
        ['when', moment(seconds(line.time_ns))], ['program', el('code', {}, line.exe)], ['arguments', el('code', {}, story.argv.join(' '))],
        ['process', `${line.pid} (${story.comm})`], ['user', String(story.uid)], ['directory', el('code', {}, story.cwd)], ['cgroup', el('code', {}, story.cgroup)],
        ['started by', el('code', {}, story.parents.join(' ← '))], ['looked at, because', story.why_looked.join('; ')],
      ])),
      card('What it is', facts('The verdict', [
        ['category', words(line.category)], ['sure', format(line.confidence, 'ratio')], ['says', `${line.tier} ${story.says}`], ['because', story.verdict_reason],
        ['may limit', story.may_act ? 'yes' : 'no: that model has not passed its exam here'], ...Object.entries(story.evidence).map(([name, text]) => [words(name), text]),
      ])),
      card('What was done', facts('The limit', [
        ['harm', story.symptom || 'nobody was hurt'], ['limit', line.limit || 'none'], ...Object.entries(story.refusals).map(([rule, why]) => [`refused by ${words(rule)}`, why]),
        ['route', story.route], ['unit', story.unit], ['changed', story.changes.join('; ')], ['effect', story.effect], ['stands', line.active ? 'yes' : ''], ['ended', story.release],
        ...story.feedback.map((word) => [`feedback, ${moment(seconds(word.time_ns))}`, `${word.good ? 'good' : 'bad'} ${word.label} ${word.text}`]),
        ['take it back', line.active ? el('code', {}, `brainkernel undo ${line.id}`) : ''],
      ])),
      card('Where the time went', bars('Time by stage', waterfall, 'No stage was timed.'))),
  ];
}

const card = (title, content) => el('section', { class: 'card' }, el('h3', {}, title), content);
