import { formatUuid } from './gtid-event.ts';

/** MariaDB's INET4: four bytes in network order. */
export function inet4Text(bytes: Buffer): string {
  return bytes.join('.');
}

/**
 * MariaDB's INET6 as the server prints it: the longest run of zero groups, the first of equals, becomes `::`, even
 * a single one (RFC 5952 has it otherwise); addresses that hold an IPv4 one end with it in dots.
 */
export function inet6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i));
  const zeros = longestZeroRun(groups);
  const mapped = zeros.at === 0 && zeros.length === 5 && groups[5] === 0xffff;
  const compatible = zeros.at === 0 && zeros.length === 6;
  if (mapped || compatible) return `::${mapped ? 'ffff:' : ''}${inet4Text(bytes.subarray(12))}`;
  if (zeros.length === 0) return hex(groups);
  return `${hex(groups.slice(0, zeros.at))}::${hex(groups.slice(zeros.at + zeros.length))}`;
}

function hex(groups: readonly number[]): string {
  return groups.map((group) => group.toString(16)).join(':');
}

function longestZeroRun(groups: readonly number[]): { at: number; length: number } {
  let best = { at: 0, length: 0 };
  for (let at = 0; at < groups.length; at++) {
    let length = 0;
    while (groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  return best;
}

/** MariaDB's UUID. */
export function uuidText(bytes: Buffer): string {
  return formatUuid(bytes);
}
