import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ProxyError } from '../model/error.ts';
import type { Properties } from '../model/job.ts';

const FILE = 'FILE:';

/**
 * PEM text of the file that the property `ssl_rootcert` names as `FILE:<name>`; undefined without the property. What CREATE
 * FILE has put into Doris cannot be read over SQL, so the file has to lie in `directory` as well (option `ssl-cert-dir`).
 *
 * @throws ProxyError STATEMENT (job-sql.md §2.4 step 14)
 */
export function readRootCertificate(
  directory: string | undefined,
  properties: Properties,
): string | undefined {
  const given = properties['ssl_rootcert'];
  if (given === undefined) return undefined;
  if (!given.startsWith(FILE)) {
    throw refuse(`ssl root cert is not in expected format, should start with FILE:, got ${given}`);
  }
  const name = given.slice(FILE.length);
  const missing = `ssl root cert file not found: ${given}`;
  if (directory === undefined) {
    throw refuse(
      `${missing}; files of CREATE FILE cannot be read from Doris, so name a directory that holds a copy with --ssl-cert-dir`,
    );
  }
  // A name, not a path: whoever may create jobs must not read the machine's files.
  if (name === '' || name !== path.basename(name) || name.startsWith('.')) throw refuse(missing);
  let text: string;
  try {
    text = readFileSync(path.join(directory, name), 'utf8');
  } catch (cause) {
    throw refuse(`${missing} in ${directory}`, { cause });
  }
  if (!text.includes('-----BEGIN CERTIFICATE-----')) {
    throw refuse(`ssl root cert ${given} holds no certificate in PEM form`);
  }
  return text;
}

function refuse(message: string, options?: ErrorOptions): ProxyError {
  return new ProxyError('STATEMENT', message, options);
}
