// What can be wrong, and how bad: 1 outranks 2, 2 outranks 3.
export const [OK, TAMPERED, INCOMPLETE, UNVERIFIABLE] = [0, 1, 2, 3];
export const RESULTS = ["ok", "tampered", "incomplete", "unverifiable"];

export class Problem extends Error {
  /** `rank`: of two with one code the lower is named; 0 is an event that contradicts its signed hash. */
  constructor(code, reason, where = {}, rank = 3) {
    super(reason);
    Object.assign(this, { code, where, rank: where.position ? Math.min(rank, 2) : rank });
  }
}

/** Bytes that cannot be read as they must: whoever reads them says which file was altered. Any other error is a mistake of ours. */
export class Malformed extends Error {}
