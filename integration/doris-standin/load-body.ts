import { isUtf8 } from 'node:buffer';
import { createGunzip } from 'node:zlib';
import { Readable } from 'node:stream';
import { JsonLineError, readJsonLine, type RowFields } from './json-line.ts';
import { LoadFailure } from './load-headers.ts';
import type { TableLoad } from './table-load.ts';

/**
 * Feeds the JSON lines of a request's body into a load as they arrive. `received` is told the size of every piece, before
 * decompression.
 * @throws LoadFailure for broken compression; the stream's error when the client goes away; whatever `received` throws.
 */
export async function readLoadBody(
  request: AsyncIterable<Buffer>,
  gzip: boolean,
  load: TableLoad,
  received: (bytes: number) => void,
): Promise<void> {
  const fields: RowFields = {
    kinds: new Uint8Array(load.sources.length),
    texts: load.sources.map(() => ''),
  };
  const indexes = new Map(load.sources.map((source, i) => [source, i]));
  let rest: Buffer[] = [];
  const takeLines = (complete: Buffer): void => {
    for (const line of linesOf(complete)) takeLine(line, indexes, fields, load);
  };
  const raw = counted(request, received);
  for await (const chunk of gzip ? decompressed(raw) : raw) {
    const end = chunk.lastIndexOf(10);
    if (end < 0) {
      rest.push(chunk);
      continue;
    }
    takeLines(Buffer.concat([...rest, chunk.subarray(0, end)]));
    rest = [chunk.subarray(end + 1)];
  }
  takeLines(Buffer.concat(rest));
}

async function* counted(
  request: AsyncIterable<Buffer>,
  received: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  for await (const chunk of request) {
    received(chunk.length);
    yield chunk;
  }
}

/** The lines as text; undefined stands for one that is not UTF-8. */
function* linesOf(bytes: Buffer): Generator<string | undefined> {
  if (bytes.length === 0) return;
  if (isUtf8(bytes)) {
    yield* bytes.toString().split('\n');
    return;
  }
  for (let at = 0; at <= bytes.length;) {
    const found = bytes.indexOf(10, at);
    const end = found < 0 ? bytes.length : found;
    const line = bytes.subarray(at, end);
    yield isUtf8(line) ? line.toString() : undefined;
    at = end + 1;
  }
}

function takeLine(
  line: string | undefined,
  indexes: ReadonlyMap<string, number>,
  fields: RowFields,
  load: TableLoad,
): void {
  if (line === undefined) return load.reject('the line is not valid UTF-8', '');
  if (line.trim() === '') return;
  try {
    readJsonLine(line, indexes, fields);
  } catch (error) {
    if (!(error instanceof JsonLineError)) throw error;
    return load.reject(`Parse json data for JsonDoc failed: ${error.message}`, line);
  }
  load.addRow(fields, line);
}

async function* decompressed(raw: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  let clientError: unknown;
  const source = Readable.from(raw).on('error', (error) => {
    clientError = error;
    gunzip.destroy(error);
  });
  source.pipe(gunzip);
  try {
    for await (const chunk of gunzip) yield chunk as Buffer;
  } catch (cause) {
    throw clientError ?? new LoadFailure('[INTERNAL_ERROR]Fail to do GZ decompress', { cause });
  }
}
