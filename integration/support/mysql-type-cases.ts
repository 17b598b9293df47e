import type { TypeCase } from './type-case.ts';
import { BYTES, SHAPES, TEXTS } from './type-cases-bytes.ts';
import { MARIADB } from './type-cases-mariadb.ts';
import { MYSQL } from './type-cases-mysql.ts';
import { FRACTIONS, INTEGERS, TIMES } from './type-cases-numbers.ts';

/** Case by case; those that only one of the two servers has come last. */
export function typeCases(kind: 'mysql' | 'mariadb'): TypeCase[] {
  const own = kind === 'mysql' ? MYSQL : MARIADB;
  return [...INTEGERS, ...FRACTIONS, ...TIMES, ...TEXTS, ...BYTES, ...SHAPES, ...own];
}
