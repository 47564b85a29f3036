// Making elements. Text goes in as text nodes and attributes as values: there is no way in here for markup.

/** An element with these properties (`class`, `href`, `data-x`, or on: {event: listener}) and children (nodes or text). */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (value === true) {
      made.setAttribute(name, '');
    } else if (value !== false && value !== null && value !== undefined) {
      made.setAttribute(name, value);
    }
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** A table with a head; `rows` are lists of cells, each a node, text, or {number: text}. */
export function table(caption, heads, rows, empty) {
  if (!rows.length) return el('p', { class: 'note' }, empty);
  const cell = (content) => (content?.number !== undefined ? el('td', { class: 'number' }, content.number) : el('td', {}, content ?? ''));
  return el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
    el('table', {},
      el('caption', { class: 'quiet' }, caption),
      el('thead', {}, el('tr', {}, heads.map((head, n) => el('th', { scope: 'col', class: rows[0][n]?.number === undefined ? null : 'number' }, head)))),
      el('tbody', {}, rows.map((row) => el('tr', {}, row.map(cell))))));
}

/** Horizontal bars: `rows` of {label, value, text, href}; the longest is the whole width. */
export function bars(caption, rows, empty) {
  const most = Math.max(...rows.map((row) => row.value), 0);
  if (!(most > 0)) return el('p', { class: 'note' }, empty);
  return el('table', { class: 'bars' },
    el('caption', { class: 'quiet' }, caption),
    el('tbody', {}, rows.map((row) => {
      const bar = el('div', { class: 'bar' });
      bar.style.inlineSize = `${Math.max(row.value > 0 ? 0.5 : 0, (100 * row.value) / most)}%`;
      return el('tr', {},
        el('th', { scope: 'row' }, row.href ? el('a', { href: row.href }, row.label) : row.label),
        el('td', { class: 'length' }, bar),
        el('td', { class: 'number' }, row.text));
    })));
}
