import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { ProxyError } from '../model/error.ts';

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Reads the catalog's key, or makes it on the first start: 32 random bytes as 64 hex digits, readable by the owner only.
 *
 * @throws ProxyError STATEMENT when the file holds anything else.
 */
export function readOrCreateKey(file: string): Buffer {
  if (!existsSync(file)) {
    // Written aside and linked: a crash cannot leave half a key, and of two starters one wins.
    const aside = `${file}.${process.pid}`;
    writeFileSync(aside, `${randomBytes(KEY_BYTES).toString('hex')}\n`, { mode: 0o600 });
    try {
      linkSync(aside, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(aside, { force: true });
    }
  }
  const text = readFileSync(file, 'utf8').trim();
  if (!/^[0-9a-f]{64}$/i.test(text)) {
    throw new ProxyError('STATEMENT', `The key file ${file} must hold 64 hexadecimal digits.`);
  }
  return Buffer.from(text, 'hex');
}

/** AES-256-GCM, bound to `context` so that one job's secret cannot be put under another job. */
export function encrypt(key: Buffer, context: string, secret: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(context));
  const sealed = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64');
}

/** @throws ProxyError STATEMENT when the key is not the one that sealed it. */
export function decrypt(key: Buffer, context: string, sealed: string): string {
  const bytes = Buffer.from(sealed, 'base64');
  const nonce = bytes.subarray(0, NONCE_BYTES);
  const tag = bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
  const cipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(context)).setAuthTag(tag);
  try {
    return Buffer.concat([
      cipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)),
      cipher.final(),
    ]).toString('utf8');
  } catch (cause) {
    throw new ProxyError(
      'STATEMENT',
      `The password of ${context} cannot be decrypted: the key file is not the one that it was stored with. ` +
        'Start with that key file, or set the password again with ALTER JOB.',
      { cause },
    );
  }
}
