/**
 * What became of one attempt to load. A closed set: the retry rule (doris-target.md §1.7) is a table over it.
 *
 * - `visible`: committed, and new queries see it.
 * - `committed`: durable, not yet visible everywhere (`Publish Timeout`).
 * - `exists-finished`: an earlier attempt with this label is committed.
 * - `exists-running`: an earlier attempt with this label is still being loaded.
 * - `precommitted`: checked and held back; the answer to a probe whose rows Doris takes.
 * - `exists-precommitted`: the label belongs to a two-phase transaction that nobody has ended yet.
 * - `data`: Doris refused rows. Not loaded, and the same bytes never will be.
 * - `schema`: table, columns or headers do not fit. Not loaded.
 * - `access`: user, password or privilege. Not loaded.
 * - `busy`: Doris cannot take it now. Not loaded.
 * - `unreachable`: no byte of the body left this machine. Not loaded.
 * - `unknown`: everything else. It may be loaded, or may still be.
 */
export type LoadVerdict =
  | 'visible'
  | 'committed'
  | 'exists-finished'
  | 'exists-running'
  | 'precommitted'
  | 'exists-precommitted'
  | 'data'
  | 'schema'
  | 'access'
  | 'busy'
  | 'unreachable'
  | 'unknown';

/** Row counts of a load as the BE reports them; undefined where it did not say. */
export interface LoadCounts {
  /** Rows that the BE found in the body: loaded, filtered and unselected. */
  readonly totalRows: number | undefined;
  readonly loadedRows: number | undefined;
  readonly filteredRows: number | undefined;
  readonly loadBytes: number | undefined;
}

/** One answer of Doris, or the reason why there was none. */
export interface LoadReply {
  readonly verdict: LoadVerdict;
  /** Doris' own words, or the network's; free of credentials. */
  readonly message: string;
  /** Decimal text, because ids of the cloud mode do not fit a double; undefined when no transaction began. */
  readonly txnId: string | undefined;
  readonly counts: LoadCounts;
  /** Where the BE keeps the refused rows. */
  readonly errorUrl: string | undefined;
  /** Why the first row was refused; newer versions only. */
  readonly firstError: string | undefined;
}

/** States of a label (`get_load_state`, doris-target.md §1.9). */
export type LabelState =
  | 'UNKNOWN'
  | 'PREPARE'
  | 'PRECOMMITTED'
  | 'COMMITTED'
  | 'VISIBLE'
  | 'ABORTED';

const LABEL_STATES: ReadonlySet<string> = new Set<LabelState>([
  'UNKNOWN',
  'PREPARE',
  'PRECOMMITTED',
  'COMMITTED',
  'VISIBLE',
  'ABORTED',
]);

const NO_COUNTS: LoadCounts = {
  totalRows: undefined,
  loadedRows: undefined,
  filteredRows: undefined,
  loadBytes: undefined,
};

/** A reply that carries nothing but its verdict. */
export function bareReply(verdict: LoadVerdict, message: string): LoadReply {
  return {
    verdict,
    message,
    txnId: undefined,
    counts: NO_COUNTS,
    errorUrl: undefined,
    firstError: undefined,
  };
}

/**
 * What a failure's text means; the first row that matches counts (doris-target.md §1.7, messages of a failure).
 * Order matters twice: refused rows are final whatever wraps them, and an `ANALYSIS_ERROR` that only says that the
 * cluster is sick must not pause a job. A text that no row knows is `unknown`, which the label makes safe to repeat.
 */
const FAILURES: readonly (readonly [RegExp, LoadVerdict])[] = [
  [
    /DATA_QUALITY_ERROR|too many filtered rows|Encountered unqualified data|Insert has filtered data in strict mode|parse number fail/i,
    'data',
  ],
  [/NOT_AUTHORIZED|Unauthorized|Access denied|no valid Basic authorization/i, 'access'],
  [/command denied|denied;|privilege|No cloud cluster name selected|no compute group/i, 'access'],
  [/LABEL_ALREADY_EXISTS|has already been used/i, 'unknown'],
  [/E?-235\b|TOO_MANY_VERSION|too many versions/i, 'busy'],
  [/current running txns|TOO_MANY_TASKS|publishing txn/i, 'busy'],
  [/MEM_LIMIT_EXCEEDED|MEM_ALLOC_FAILED|memory/i, 'busy'],
  [
    /alive replica num|No backend|no available BE|no alive backend|blocked on schema change|is not NORMAL/i,
    'busy',
  ],
  [
    /exceed limit usage|REACH_CAPACITY_LIMIT|capacity limit|no space left|disk\b.{0,40}\bfull/i,
    'busy',
  ],
  [/streaming_load\w*_max_mb/i, 'schema'],
  [/EXCEEDED_LIMIT/i, 'busy'],
  [
    /TIMEOUT|THRIFT_RPC_ERROR|failed to call frontend|cancelled|already stopped|unknown stream load id|FE Master|receive body don't equal/i,
    'unknown',
  ],
  [/ANALYSIS_ERROR|INVALID_ARGUMENT|NOT_IMPLEMENTED|Label format error/i, 'schema'],
  [/unknown (table|database|column)|does not exist|NOT_FOUND/i, 'schema'],
  [/no 100-continue header|unknown data format|label and group_commit/i, 'schema'],
];

/** Classifies the text of a refusal by a BE or an FE. */
export function classifyFailure(message: string): LoadVerdict {
  return FAILURES.find(([pattern]) => pattern.test(message))?.[1] ?? 'unknown';
}

/** Reads the answer of a BE to a load (doris-target.md §1.6); unknown and missing fields are borne. */
export function parseLoadReply(httpStatus: number, text: string): LoadReply {
  const fields = parseObject(text);
  const status = fields?.['Status'];
  if (fields === undefined || typeof status !== 'string') {
    // An FE answers like this when it, and not a BE, got the body; a proxy in between answers like that when it has no BE.
    const words = fields === undefined ? undefined : envelopeMessage(fields);
    return words === undefined
      ? bareReply('unknown', `HTTP ${httpStatus}: ${shorten(text, 200)}`)
      : bareReply(classifyFailure(words), words);
  }
  const message = textOf(fields['Message']) ?? '';
  const firstError = textOf(fields['FirstErrorMsg']);
  return {
    verdict: verdictOf(status, textOf(fields['ExistingJobStatus']), message, fields),
    message,
    txnId: txnIdOf(text, message),
    counts: {
      totalRows: countOf(fields['NumberTotalRows']),
      loadedRows: countOf(fields['NumberLoadedRows']),
      filteredRows: countOf(fields['NumberFilteredRows']),
      loadBytes: countOf(fields['LoadBytes']),
    },
    errorUrl: textOf(fields['ErrorURL']),
    firstError: firstError === '' ? undefined : firstError,
  };
}

/** Reads the answer of an FE that should have redirected and did not: always a refusal (doris-target.md §1.1). */
export function parseFrontendRefusal(httpStatus: number, text: string): LoadReply {
  const fields = parseObject(text);
  const message = fields === undefined ? undefined : envelopeMessage(fields);
  if (fields?.['code'] === 401 || httpStatus === 401) {
    return bareReply('access', message ?? 'Unauthorized');
  }
  if (message === undefined) {
    return bareReply('unreachable', `the FE answers HTTP ${httpStatus}: ${shorten(text, 200)}`);
  }
  // Without a redirect no BE has seen anything: what is unclear is only when it will work.
  const verdict = classifyFailure(message);
  return bareReply(verdict === 'unknown' ? 'unreachable' : verdict, message);
}

/** Reads the answer to `get_load_state`: a state, or the reply that says why there is none. */
export function parseLabelState(httpStatus: number, text: string): LabelState | LoadReply {
  const fields = parseObject(text);
  const state = fields?.['data'] ?? fields?.['state'];
  const succeeded = fields?.['code'] === undefined || fields['code'] === 0;
  if (succeeded && typeof state === 'string' && LABEL_STATES.has(state)) {
    return state as LabelState;
  }
  return parseFrontendRefusal(httpStatus, text);
}

/** A refused row in the words of an error log. */
export interface Refusal {
  /** Reason and row, values cut. */
  readonly text: string;
  /** The row as the log has it: often, not always, what was sent. */
  readonly row: string | undefined;
}

/**
 * The first refused row of an error log (doris-target.md §1.8): `Reason: <why>. src line [<row>]; `.
 * @param valueMax longest value kept, in characters: the message ends up in `jobs()`, and rows are the users' data.
 */
export function firstRefusal(log: string, valueMax: number): Refusal {
  const line = log.split('\n').find((candidate) => candidate.trim() !== '') ?? '';
  const match = /^\s*Reason:\s*(.*?)\.?\s*src line\s*\[(.*)\];?\s*$/s.exec(line);
  if (match === null) return { text: shorten(line.trim(), 4 * valueMax), row: undefined };
  const [, reason = '', row = ''] = match;
  const words = shorten(reason, 8 * valueMax);
  return row === ''
    ? { text: words, row: undefined }
    : { text: `${words}; row: ${shortenRow(row, valueMax)}`, row };
}

/** Cuts `text` to `max` characters, marking the cut. */
export function shorten(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max)}…`;
}

/** A JSON row with long values cut, so that all columns stay readable; any other text is cut as a whole. */
function shortenRow(row: string, valueMax: number): string {
  const fields = parseObject(row);
  if (fields === undefined) return shorten(row, 8 * valueMax);
  const short = Object.entries(fields).map(([name, value]) => [
    name,
    typeof value === 'string' ? shorten(value, valueMax) : value,
  ]);
  return shorten(JSON.stringify(Object.fromEntries(short)), 32 * valueMax);
}

function verdictOf(
  status: string,
  existing: string | undefined,
  message: string,
  fields: Readonly<Record<string, unknown>>,
): LoadVerdict {
  switch (status.toLowerCase()) {
    case 'success':
      return textOf(fields['TwoPhaseCommit']) === 'true' ? 'precommitted' : 'visible';
    case 'publish timeout':
      return 'committed';
    case 'label already exists':
      if (existing === 'FINISHED') return 'exists-finished';
      // Without a word the label's state has to be asked for, which is what RUNNING leads to.
      return existing === 'PRECOMMITTED' ? 'exists-precommitted' : 'exists-running';
    default:
      return classifyFailure(message);
  }
}

/** From the raw text: a JSON number would be rounded. The id of an existing label is only in the message. */
function txnIdOf(text: string, message: string): string | undefined {
  return /relate to txn \[(\d+)\]/.exec(message)?.[1] ?? /"TxnId"\s*:\s*(\d+)/.exec(text)?.[1];
}

/** The words in the two envelopes of the FE: `{status, msg}` and `{code, msg, data}`. */
function envelopeMessage(fields: Readonly<Record<string, unknown>>): string | undefined {
  const [msg, data] = [textOf(fields['msg']), textOf(fields['data'])];
  if (msg === undefined) return undefined;
  return data === undefined || data === '' ? msg : `${msg}: ${data}`;
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined;
}
