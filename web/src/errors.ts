/** What the page cannot use: one sentence of what, then where, got, expected and what to do, as in Python. */
export class RenalMapError extends Error {
  readonly what: string;
  readonly where?: string;
  readonly got?: string;
  readonly expected?: string;
  readonly hint?: string;

  constructor(what: string, details: ErrorDetails = {}) {
    const parts = [
      details.got === undefined ? "" : `got ${details.got}`,
      details.expected === undefined ? "" : `expected ${details.expected}`,
    ].filter((part) => part !== "");
    const place = details.where === undefined ? "" : `${details.where}: `;
    const reason = parts.length > 0 ? ` (${parts.join("; ")})` : "";
    const advice = details.hint === undefined ? "" : `. ${details.hint}`;
    super(`${place}${what}${reason}${advice}`);
    this.what = what;
    this.where = details.where;
    this.got = details.got;
    this.expected = details.expected;
    this.hint = details.hint;
  }
}

export interface ErrorDetails {
  where?: string;
  got?: string;
  expected?: string;
  hint?: string;
}

/** The scan is none that can be segmented. */
export class InputError extends RenalMapError {
  override name = "InputError";
}

/** The bundle is damaged, or asks for something that this page does not do. */
export class BundleError extends RenalMapError {
  override name = "BundleError";
}
