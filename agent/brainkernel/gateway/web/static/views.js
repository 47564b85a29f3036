// The five views: which figures they show, in which unit, from where, and which decisions are behind them.
//
// A figure is a plot over time (`names`, `*` stands for any), or `rows` made of the newest live event: bars, or a table.
// `derive` replaces what was measured by what is shown, `forecast` draws where it goes. With `sum` it is no plot: rows made of how
// much of each there was in that time.
// `behind` says which decisions the figure is made of, as the filter of the list of decisions.

import { bars, el, table } from './elements.js';
import { duration, format, moment } from './format.js';

const words = (name) => name.replaceAll('_', ' ');
const entries = (live, metric) => live.figures?.[metric] ?? [];
const total = (rows) => rows.reduce((sum, [, value]) => sum + value, 0);
const listed = (filter) => `#/decisions?${new URLSearchParams(filter)}`;
const after = (prefix, label = words) => (name) => label(name.slice(prefix.length));

function counted(live, metric, place, behind) {
  const sums = new Map();
  for (const [labels, value] of entries(live, metric)) sums.set(labels[place], (sums.get(labels[place]) ?? 0) + value);
  return [...sums].filter(([, value]) => value > 0).sort((a, b) => b[1] - a[1])
    .map(([name, value]) => ({ label: words(name), value, text: format(value), href: behind ? listed(behind(name)) : null }));
}

// Decisions by their time: of each bucket how many, with those behind it. `span` is the time from when to when.
function latencies(sums, span) {
  const bounds = [...sums.keys()].map((name) => Number(name.slice('decision_times.'.length).replace('inf', 'Infinity'))).sort((a, b) => a - b);
  const found = bounds.map((to, n) => ({ to, over: bounds[n - 1] ?? 0, count: Math.round(sums.get(`decision_times.${to === Infinity ? 'inf' : to}`)) }));
  const first = found.findIndex(({ count }) => count > 0);
  const end = found.findLastIndex(({ count }) => count > 0);
  return found.slice(first, end + 1).map(({ to, over, count }) => ({
    label: to === Infinity ? `over ${format(over, 'ms')}` : `to ${format(to, 'ms')}`, value: count, text: format(count),
    href: listed({ late_ms: over, ...(to === Infinity ? {} : { within_ms: to }), ...span }),
  }));
}

function errors(live) {
  const kinds = [
    ['llm_failures', 1, 'LLM: '], ['kernel_failures', 0, 'kernel: '], ['protocol_errors', 1, 'socket: '], ['budget_breaches', 0, 'late: '],
  ];
  return kinds.flatMap(([metric, place, prefix]) => counted(live, metric, place).map((row) => ({ ...row, label: prefix + row.label })))
    .sort((a, b) => b.value - a.value)
    .map((row) => ({ ...row, href: listed(row.label.startsWith('LLM') ? { tier: 'llm' } : row.label.startsWith('late') ? { late_ms: 3000 } : {}) }));
}

function success(live) {
  const calls = entries(live, 'llm_calls');
  const failed = total(calls.filter(([labels]) => labels[1] !== 'ok'));
  return calls.length ? 1 - failed / Math.max(1, total(calls)) : null;
}

const quality = (live, measure, span = '24h') => live.overview?.quality.find((q) => q.measure === measure && q.window === span);
const tile = (label, value, unit, note = '', behind = {}) => ({ label, text: format(value, unit), note, href: listed(behind) });

function qualityTile(live, measure, label, behind) {
  const figure = quality(live, measure);
  const between = figure?.low === null || figure?.low === undefined ? 'too few samples yet' : `${format(figure.low, 'ratio')} to ${format(figure.high, 'ratio')}`;
  return tile(label, figure?.value, 'ratio', `24 h, ${between}; ${format(figure?.samples ?? 0)} samples`, behind);
}

function stages(live) {
  const rows = (live.overview?.latencies ?? []).filter((row) => row.window === '5m');
  return table('Time by stage, tier and backend, last 5 minutes', ['', 'Of', 'Count', 'Mean', 'p50', 'p95', 'p99'],
    rows.map((row) => [words(row.name), row.of, ...[format(row.samples), ...['mean_ms', 'p50_ms', 'p95_ms', 'p99_ms'].map((name) => format(row[name], 'ms'))].map((number) => ({ number }))]),
    'Nothing was decided in the last 5 minutes.');
}

function trends(live) {
  const unit = { '1/s': 'per_s', '%': 'pct', ms: 'ms', bytes: 'bytes' };
  return table('Change and forecast', ['Figure', 'Now', 'Usual', 'Change per hour', 'Should stay', 'If it goes on'],
    (live.overview?.trends ?? []).map((row) => {
      const shown = (value) => ({ number: format(value, unit[row.unit] ?? 'count') });
      const beyond = row.now !== null && (row.above ? row.now > row.bound : row.now < row.bound); // a moment is no trend
      const ahead = row.breach_in_s === null ? (beyond ? 'beyond it at this moment' : 'no breach in sight') : row.breach_in_s === 0 ? 'beyond its bound now' : `reaches it in ${duration(row.breach_in_s)}`;
      const state = row.anomalous_since_s === null ? null : el('strong', { class: 'warn' }, ` unlike itself for ${duration(row.anomalous_since_s)}`);
      return [el('span', { title: row.name }, row.help, state), shown(row.now), shown(row.mean), shown(row.slope_per_h), shown(row.bound), row.bound === null ? '' : ahead];
    }), 'Trends appear after some minutes.');
}

function anomalies(live) {
  return table('Anomalies, newest first', ['Begun', 'Lasted', 'What', 'Decisions then'],
    (live.overview?.anomalies ?? []).map((row) => [
      moment(row.begun_s), row.ended_s === null ? 'still' : duration(row.ended_s - row.begun_s), row.text || row.name,
      el('a', { href: listed({ from: row.begun_s - 60, to: (row.ended_s ?? Math.floor(Date.now() / 1000)) + 60 }) }, 'show'),
    ]), 'None of our figures was unlike itself.');
}

function switches(live) {
  return table('Versions, strategy switches and what people changed, newest first', ['When', 'What', 'Why', 'Decisions then'],
    (live.overview?.switches ?? []).map((row) => [
      moment(row.time_ns / 1e9), words(row.deed), [row.by_person ? 'a person' : '', row.text].filter(Boolean).join(': '),
      el('a', { href: listed({ from: Math.floor(row.time_ns / 1e9) - 300, to: Math.floor(row.time_ns / 1e9) + 60 }) }, 'show'),
    ]), 'Nothing was changed since the start.');
}

// The share of decisions within the latency budget of the whole way, and of LLM calls that were answered, in the place of their parts.
function successRates(answer) {
  const { decisions_per_s: decisions, decisions_late_per_s: late, ...rest } = answer.series;
  const calls = Object.entries(rest).filter(([name]) => name.startsWith('llm_calls_per_s.'));
  const share = (length, all, bad) => {
    const mean = Array.from({ length }, (_, n) => (all(n) > 0 ? Math.max(0, 1 - bad(n) / all(n)) : null));
    return { low: mean, mean, high: mean };
  };
  const sum = (lines, n) => lines.reduce((whole, [, line]) => whole + (line.mean[n] ?? 0), 0);
  answer.series = {};
  if (decisions) answer.series['decisions in time'] = share(decisions.mean.length, (n) => decisions.mean[n], (n) => late?.mean[n] ?? 0);
  if (calls.length) {
    const failed = calls.filter(([name]) => !name.endsWith('.ok'));
    answer.series['LLM calls answered'] = share(calls[0][1].mean.length, (n) => sum(calls, n), (n) => sum(failed, n));
  }
}

function sessions(live) {
  const learned = entries(live, 'learning_sessions').map(([[task, result], value]) => ({ label: `${words(task)}: ${words(result)}`, value, text: format(value) }));
  return learned.concat(counted(live, 'drifts', 0).map((row) => ({ ...row, label: `${row.label}: drift` })));
}

const MEASURES = {
  correct_classification: 'right categories', false_positive: 'limits that should not have been', false_negative: 'missed limits', satisfaction: 'people content',
};
const measured = (span) => (name) => MEASURES[name.slice('quality.'.length).replace(`.${span}`, '')] ?? name;

export const VIEWS = [
  {
    id: 'performance', title: 'Decision performance',
    tiles: (live) => {
      const total_ms = live.overview?.latencies.find((row) => row.of === 'stage' && row.name === 'total' && row.window === '5m');
      return [
        tile('Decisions since the start', Object.values(live.overview?.counts.decisions ?? {}).reduce((a, b) => a + b, 0), 'count', `${format(live.overview?.counts.execs_seen)} programs started`),
        tile('Mean decision time', total_ms?.mean_ms, 'ms', 'last 5 minutes; budget 3 s'),
        tile('p95 decision time', total_ms?.p95_ms, 'ms', 'last 5 minutes', { late_ms: Math.floor(total_ms?.p95_ms ?? 0) }),
        tile('LLM calls that succeeded', success(live), 'ratio', `${live.overview?.llm.backend ?? 'none'} ${live.overview?.llm.model ?? ''}`, { tier: 'llm' }),
      ];
    },
    figures: [
      { title: 'Decision time', unit: 'ms', names: ['decision_mean_ms', 'decision_p50_ms', 'decision_p95_ms', 'decision_p99_ms'], label: (name) => name.split('_')[1] },
      { title: 'Latency distribution', names: ['decision_times.*'], sum: (sums, span) => bars('Decisions by time from the kernel’s event', latencies(sums, span), 'No decision in this time.') },
      { title: 'Decisions', unit: 'per_s', names: ['decisions_per_s.*'], label: after('decisions_per_s.') },
      { title: 'Success rate', unit: 'ratio', max: 1, names: ['decisions_per_s', 'decisions_late_per_s', 'llm_calls_per_s.*'], derive: successRates, label: (name) => name },
      { title: 'Errors', unit: 'per_s', names: ['budget_breaches_per_s', 'events_lost_per_s', 'llm_failures_per_s.*', 'protocol_errors_per_s'], label: (name) => words(name.replace('_per_s', '').replace('.gateway.', ': ')) },
      { title: 'Error kinds since the start', rows: (live) => bars('Errors by kind', errors(live), 'No error since the start.') },
      { title: 'Verdicts since the start', rows: (live) => bars('Verdicts by category', counted(live, 'verdicts', 0, (category) => ({ category })), 'No verdict yet.') },
      { title: 'Time of each tier, p95', unit: 'ms', names: ['latency_ms.tier.*', 'latency_ms.backend.*'], label: (name) => name.split('.').slice(1, 3).join(' ') },
      { title: 'Stages', wide: true, rows: stages },
    ],
  },
  {
    id: 'resources', title: 'Resources',
    tiles: (live) => [
      tile('Memory of the daemon', live.resident?.daemon, 'bytes', `gateway ${format(live.resident?.gateway, 'bytes')}`),
      tile('LLM calls', total(entries(live, 'llm_calls')), 'count', 'since the start', { tier: 'llm' }),
      tile('Tokens', total(entries(live, 'llm_tokens')), 'count', 'since the start', { tier: 'llm' }),
      tile('Cost', total(entries(live, 'llm_cost_dollars')), 'usd', 'since the start', { tier: 'llm' }),
    ],
    figures: [
      { title: 'CPU of the agent', unit: 'pct', names: ['own_cpu_pct', 'gateway_cpu_pct'], label: (name) => ({ own_cpu_pct: 'daemon, of one CPU', gateway_cpu_pct: 'gateway, of one CPU' })[name] },
      { title: 'BPF programs (while kernel.bpf_stats_enabled is 1)', unit: 'pct', names: ['bpf_cpu_pct.*'], label: after('bpf_cpu_pct.') },
      { title: 'Memory of the agent', unit: 'bytes', names: ['own_memory_bytes', 'gateway_memory_bytes', 'state_bytes'],
        label: (name) => ({ own_memory_bytes: 'daemon', gateway_memory_bytes: 'gateway', state_bytes: 'files on disk' })[name] },
      { title: 'CPU of the host', unit: 'pct', max: 100, names: ['host_cpu_pct', 'gpu_busy_pct.*'], label: (name) => (name === 'host_cpu_pct' ? 'CPUs in use' : `GPU ${name.split('.')[1]}`) },
      { title: 'Memory of the host', unit: 'bytes', names: ['host_memory_total_bytes', 'host_memory_available_bytes', 'gpu_memory_bytes.*'], label: (name) => words(name.replace('host_memory_', '').replace('_bytes', '')) },
      { title: 'Pressure: share of time in which somebody waited', unit: 'pct', names: ['pressure_pct.*'], label: after('pressure_pct.'), behind: { kind: 'limit' } },
      { title: 'Wait in the run queue', unit: 'ms', names: ['run_queue_ms.*'], label: after('run_queue_ms.'), behind: { kind: 'limit' } },
      { title: 'LLM calls', unit: 'per_s', names: ['llm_calls_per_s.*'], label: after('llm_calls_per_s.gateway.'), behind: { tier: 'llm' } },
      { title: 'Tokens', unit: 'per_s', names: ['llm_tokens_per_s.*'], label: after('llm_tokens_per_s.gateway.'), behind: { tier: 'llm' } },
      { title: 'Cost per hour', unit: 'usd', names: ['llm_dollars_per_h'], label: () => 'of the tokens of this moment', behind: { tier: 'llm' } },
      { title: 'Programs started', unit: 'per_s', names: ['execs_per_s', 'suspects_per_s'], label: (name) => ({ execs_per_s: 'started', suspects_per_s: 'looked at' })[name] },
    ],
  },
  {
    id: 'quality', title: 'Quality',
    tiles: (live) => [
      qualityTile(live, 'correct_classification', 'Accuracy'),
      qualityTile(live, 'false_positive', 'False positives', { kind: 'limit' }),
      qualityTile(live, 'satisfaction', 'Satisfaction'),
      tile('Stability', live.overview?.stability?.index, 'ratio', '1: calm, nothing undone', { kind: 'limit' }),
    ],
    figures: [
      { title: 'Quality over 24 h', unit: 'ratio', max: 1, names: ['quality.*.24h'], label: measured('24h'), behind: { kind: 'limit' } },
      { title: 'Stability', unit: 'ratio', max: 1, names: ['stability'], label: () => 'index', behind: { kind: 'limit' } },
      { title: 'What takes from stability', rows: (live) => bars('Parts', Object.entries(live.overview?.stability?.parts ?? {}).map(([name, value]) => ({ label: words(name), value, text: format(value, 'ratio') })), 'Nothing: all is calm.') },
      { title: 'Quality over 7 days', unit: 'ratio', max: 1, names: ['quality.*.7d'], label: measured('7d') },
      { title: 'Limits', unit: 'count', names: ['limits_active'], label: () => 'standing', behind: { kind: 'limit' } },
      { title: 'Refusals by safety rule since the start', rows: (live) => bars('Refusals', counted(live, 'refusals', 0, () => ({ kind: 'refused' })), 'No limit was refused.') },
      { title: 'Measures', wide: true, rows: (live) => table('All measures with their 95 % interval', ['Measure', 'Window', 'Value', 'From', 'To', 'Samples'],
        (live.overview?.quality ?? []).map((q) => [MEASURES[q.measure] ?? q.measure, q.window, ...[format(q.value, 'ratio'), format(q.low, 'ratio'), format(q.high, 'ratio'), format(q.samples)].map((number) => ({ number }))]), 'No measure yet.') },
    ],
  },
  {
    id: 'trends', title: 'Trends',
    tiles: (live) => {
      const watched = live.overview?.trends ?? [];
      const next = watched.filter((row) => row.breach_in_s > 0).sort((a, b) => a.breach_in_s - b.breach_in_s)[0];
      return [
        tile('Figures unlike themselves', watched.filter((row) => row.anomalous_since_s !== null).length, 'count', `of ${watched.length} that are watched`),
        tile('Beyond their bound', watched.filter((row) => row.breach_in_s === 0).length, 'count', 'now'),
        { label: 'Next to reach its bound', text: next ? duration(next.breach_in_s) : '–', note: next?.help ?? 'none in sight', href: listed({}) },
      ];
    },
    figures: [
      { title: 'Change and forecast', wide: true, rows: trends },
      { title: 'Anomalies', wide: true, rows: anomalies },
      { title: 'Mean decision time', unit: 'ms', names: ['decision_mean_ms'], label: () => 'mean of 5 minutes', forecast: true },
      { title: 'Suspects', unit: 'per_s', names: ['suspects_per_s'], label: () => 'programs that passed the gate', forecast: true },
      { title: 'Pressure of the CPU', unit: 'pct', names: ['pressure_pct.cpu'], label: () => 'somebody waited', behind: { kind: 'limit' } },
      { title: 'Memory of the daemon', unit: 'bytes', names: ['own_memory_bytes'], label: () => 'resident', forecast: true },
    ],
  },
  {
    id: 'feedback', title: 'Feedback loop',
    tiles: (live) => [
      { label: 'Strategy', text: live.overview?.strategy?.strategy ?? '–', note: live.overview?.strategy?.why ?? '', href: listed({}) },
      tile('Throttle threshold', live.overview?.strategy?.throttle_threshold, 'ratio', `looks every ${format(live.overview?.strategy?.check_interval_s, 's')}`, { kind: 'limit' }),
      tile('Words of people', total(entries(live, 'feedback')), 'count', 'since the start'),
      tile('Strategy switches', total(entries(live, 'strategy_changes')), 'count', 'since the start'),
    ],
    figures: [
      { title: 'Strategy in force', unit: 'count', max: 1, names: ['strategy.*'], label: after('strategy.') },
      { title: 'Learning progress', unit: 'count', names: ['learning_words.*'], label: after('learning_words.', (task) => `words for ${words(task)}`) },
      { title: 'Learning sessions since the start', rows: (live) => bars('Sessions', sessions(live), 'No model has learned yet: it takes words of people, or of an examined LLM.') },
      { title: 'Version in force', unit: 'count', names: ['version'], label: () => 'number' },
      { title: 'Feedback', unit: 'per_s', names: ['feedback_per_s.*'], label: after('feedback_per_s.') },
      { title: 'Words of people since the start', rows: (live) => bars('Words', counted(live, 'feedback', 0), 'Nobody has said anything yet: brainkernel feedback ID good|bad') },
      { title: 'Lookups of the verdict cache', unit: 'per_s', names: ['cache_lookups_per_s.*'], label: after('cache_lookups_per_s.'), behind: { tier: 'cache' } },
      { title: 'Versions, strategy switches and what people changed', wide: true, rows: switches },
    ],
  },
];
