import type { ErrorCode } from './error-codes.ts';

/** The error a person or program gets told about: what happened, what to do, and a code to look up in docs/errors.md. */
export class StewardError extends Error {
  /** `room/what-happened`. */
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** HTTP status it has over the API. */
  readonly status: number;
  /** More for programs; never private. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string; status?: number; details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.status = options.status ?? 500;
    this.details = options.details ?? {};
  }
}
