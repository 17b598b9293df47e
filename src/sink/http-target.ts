import { bareReply, parseFrontendRefusal, type LoadReply } from './load-reply.ts';

/** Where a server listens. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** One place to send a request to. */
export interface Target {
  /** `http://host:port` */
  readonly origin: string;
  readonly path: string;
}

/** An FE's answer. */
export interface Answer {
  readonly status: number;
  readonly location: string | undefined;
  readonly text: string;
}

/** The BE in a 307, or why there is none. `Location` holds the password in clear: it is never part of a message. */
export function redirectTarget(origin: string, answer: Answer): Target | LoadReply {
  if (answer.status !== 307) {
    const refusal = parseFrontendRefusal(answer.status, answer.text);
    return { ...refusal, message: `FE ${origin}: ${refusal.message}` };
  }
  const target = targetOf(answer.location ?? '');
  if (target === undefined) {
    return bareReply('unreachable', `FE ${origin} redirects to an address that is not a URL`);
  }
  if (target.origin.startsWith('https:')) {
    // doris-target.md §1.2 step 3: the way to itself, not to a BE.
    return bareReply(
      'access',
      `FE ${origin} accepts loads over HTTPS only; enable_https must be off`,
    );
  }
  return target;
}

/**
 * Splits an absolute URL of Doris. Not by `new URL`: what stands before the last `@` of the authority is a password in Java's
 * encoding, which is dropped whatever it looks like. The `?` that Doris always appends goes too.
 */
export function targetOf(url: string): Target | undefined {
  const match = /^(https?):\/\/([^/?#]*)(\/[^?#]*)(\?[^#]*)?/.exec(url);
  if (match === null) return undefined;
  const [, scheme = '', authority = '', path = '', query = ''] = match;
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  if (!/^(\[[0-9a-fA-F:.]+\]|[^[\]:]+)(:\d+)?$/.test(host)) return undefined;
  return { origin: `${scheme}://${host}`, path: query === '?' ? path : path + query };
}

/** `http://host:port` */
export function originOf({ host, port }: HostPort): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Whether the failure happened before a connection stood, so that nothing can have been loaded. */
export function neverConnected(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.every(neverConnected);
  if (!(error instanceof Error)) return false;
  const { syscall, code } = error as NodeJS.ErrnoException;
  return syscall === 'connect' || syscall === 'getaddrinfo' || code === 'UND_ERR_CONNECT_TIMEOUT';
}

/** The network's words; a dual-stack connect hides them in an error without a message. */
export function describe(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describe(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  const words = error.cause instanceof Error ? describe(error.cause) : undefined;
  return words ?? (error.message === '' ? error.name : error.message);
}
