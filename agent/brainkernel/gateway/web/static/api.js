// Asking the gateway.

const PATIENCE_MS = 15000;

/** The answer of a path with these parameters. Throws an Error with a sentence for people. */
export async function ask(path, parameters = []) {
  const answer = await fetch(`${path}?${new URLSearchParams(parameters)}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (answer.status === 401) location.assign('/login');
  if (!answer.ok) throw new Error((await answer.text()).slice(0, 300).trim());
  return answer.json();
}

/** Live events while the page is seen: a browser holds six connections to a host, so a hidden page gives its own back. */
export class Live {
  constructor(onEvent, onState) {
    this.onEvent = onEvent;
    this.onState = onState;
    this.watched = '';
    document.addEventListener('visibilitychange', () => this.#open());
  }

  /** Also send the newest points of these figures. */
  watch(names) {
    const wanted = [...new Set(names)].sort().join(' ');
    if (wanted === this.watched && this.source) return;
    this.watched = wanted;
    this.#open();
  }

  #open() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.retry);
    if (document.hidden) return;
    const source = new EventSource(`/api/live?${new URLSearchParams(this.watched.split(' ').filter(Boolean).map((name) => ['name', name]))}`);
    this.source = source;
    source.addEventListener('message', (event) => this.onEvent(JSON.parse(event.data)));
    source.addEventListener('error', () => {
      this.onState(false);
      if (source.readyState === EventSource.CLOSED && source === this.source) this.retry = setTimeout(() => this.#open(), 5000);
    });
  }
}
