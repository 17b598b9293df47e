import { ProxyError, type FailureCode } from '../../model/error.ts';

/** SQLSTATEs that say more than "try again" (PostgreSQL manual, appendix A). */
const BY_STATE: Readonly<Record<string, FailureCode>> = {
  '28P01': 'SOURCE_ACCESS', // wrong password
  '28000': 'SOURCE_ACCESS', // no such role, no pg_hba.conf entry
  '42501': 'SOURCE_ACCESS', // insufficient privilege
  '3D000': 'SOURCE_SETTING', // no such database
  '3F000': 'SOURCE_SETTING', // no such schema
  '42704': 'SOURCE_SETTING', // no such slot, publication, type
  '55000': 'SOURCE_SETTING', // wal_level, slot of another database
  '42P01': 'SOURCE_DDL', // table gone
  '42703': 'SOURCE_DDL', // column gone
  '0A000': 'SOURCE_SETTING',
  '53400': 'SOURCE_SETTING', // no free slot or walsender
};

/** SQLSTATE and message of an error that the driver threw, whatever its class. */
export function sqlStateOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : '';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

/**
 * The driver's error as ours. What is not known to need a person is taken as a server that is
 * away for a moment: restarts (57P01, 57P03), killed back ends, sockets, too many clients (53300).
 */
export function postgresError(what: string, cause: unknown): ProxyError {
  if (cause instanceof ProxyError) return cause;
  const refusal = isTlsRefusal(cause);
  const code = BY_STATE[sqlStateOf(cause)] ?? (refusal ? 'SOURCE_SETTING' : 'SOURCE_UNREACHABLE');
  const cure = refusal ? TLS_CURE : '';
  return new ProxyError(code, `${what}: ${messageOf(cause)}${cure}`, { cause });
}

const TLS_CURE =
  ". Correct the server's certificate, or ssl_mode and ssl_rootcert by ALTER JOB, then RESUME JOB.";

/** A certificate that does not pass, or a server without TLS: nothing that waiting cures. */
function isTlsRefusal(cause: unknown): boolean {
  const code = (cause as { readonly code?: unknown } | undefined)?.code;
  if (typeof code === 'string' && /CERT|SIGNATURE|^ERR_TLS/.test(code)) return true;
  return messageOf(cause) === 'The server does not support SSL connections';
}
