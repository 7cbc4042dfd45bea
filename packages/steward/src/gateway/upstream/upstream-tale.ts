/** What asking upstreams came to, in the form of nginx's $upstream_ variables: one value for each server, separated by commas. */

export interface Attempt {
  readonly address: string;
  /** Undefined, here and below: it never came to that. */
  readonly status: number | undefined;
  readonly connectMs: number | undefined;
  readonly headMs: number | undefined;
  readonly responseMs: number;
  readonly bytes: number;
}

const seconds = (ms: number | undefined): string => (ms === undefined ? '-' : (ms / 1000).toFixed(3));
const also = (before: string, text: string): string => (before === '' ? text : `${before}, ${text}`);

/** Nothing is written down as text before somebody asks: most requests have one attempt that no log format names. */
export class Tale {
  readonly attempts: Attempt[];

  constructor(attempts: Attempt[] = []) {
    this.attempts = attempts;
  }

  #join(text: (attempt: Attempt) => string): string {
    return this.attempts.map(text).reduce(also, '');
  }

  get addresses(): string {
    return this.#join(({ address }) => address);
  }

  get statuses(): string {
    return this.#join(({ status }) => String(status ?? '-'));
  }

  get connectTimes(): string {
    return this.#join(({ connectMs }) => seconds(connectMs));
  }

  get headerTimes(): string {
    return this.#join(({ headMs }) => seconds(headMs));
  }

  get responseTimes(): string {
    return this.#join(({ responseMs }) => seconds(responseMs));
  }

  get lengths(): string {
    return this.#join(({ bytes }) => String(bytes));
  }
}

export function addToTale(exchange: { tale: Tale | undefined }, attempt: Attempt): void {
  const tale = exchange.tale ?? new Tale();
  exchange.tale = tale;
  tale.attempts.push(attempt);
}
