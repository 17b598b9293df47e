import { expect, test } from 'vitest';
import { Cancel } from '../../src/lib/cancel.ts';

test('whoever listens is told once, whoever has stopped listening is not', () => {
  const cancel = new Cancel();
  const told: string[] = [];
  const left = (): void => void told.push('left');
  cancel.on(() => told.push('a'));
  cancel.on(left);
  cancel.on(() => told.push('b'));
  cancel.off(left);
  cancel.throwIfCancelled();
  expect(cancel.cancelled).toBe(false);
  cancel.cancel();
  cancel.cancel();
  expect(told).toEqual(['a', 'b']);
  expect(cancel.cancelled).toBe(true);
  expect(() => cancel.throwIfCancelled()).toThrow('given up');
});

test('whoever comes too late is told at once', () => {
  const cancel = new Cancel();
  cancel.cancel();
  let told = false;
  cancel.on(() => (told = true));
  expect(told).toBe(true);
});
