import type { TableSpec } from '../model/table.ts';

/** The bytes of one table in one batch: JSON lines, one row for each key. */
export interface LoadBody {
  readonly table: TableSpec;
  readonly body: readonly Buffer[];
  readonly bytes: number;
  readonly rows: number;
}

/** Changes of several tables between two positions. PLACEHOLDER: helper "codec" replaces this file. */
export class Batch {
  readonly rows: number = 0;
  readonly bytes: number = 0;
  bodies(): readonly LoadBody[] {
    return [];
  }
  reset(): void {
    this.bodies();
  }
}
