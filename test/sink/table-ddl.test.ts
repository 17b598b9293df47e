import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import type { ColumnSpec, TableSpec } from '../../src/model/table.ts';
import {
  checkTable,
  createTable,
  truncateTable,
  type TargetColumn,
  type TargetTable,
} from '../../src/sink/table-ddl.ts';

function column(name: string, dorisType: string, more: Partial<ColumnSpec> = {}): ColumnSpec {
  return { name, sourceType: 'x', dorisType, nullable: false, comment: '', ...more };
}

const ORDERS: TableSpec = {
  schema: 'shop',
  name: 'orders',
  target: 'orders_copy',
  columns: [
    column('note', 'STRING', { comment: 'says "hi"\nand a \\' }),
    column('line', 'INT'),
    column('secret', 'STRING', { excluded: true }),
    column('id', 'BIGINT'),
    column('total', 'DECIMAL(10,2)', { nullable: true }),
  ],
  key: ['id', 'line'],
};

function existing(change: Partial<TargetTable> = {}): TargetTable {
  return {
    keyModel: 'UNIQUE',
    key: ['id', 'line'],
    columns: [
      target('id', 'bigint', { nullable: false }),
      target('line', 'int', { nullable: false }),
      target('note', 'text'),
      target('total', 'decimal(10,2)'),
    ],
    ...change,
  };
}

function target(name: string, type: string, more: Partial<TargetColumn> = {}): TargetColumn {
  return { name, type, nullable: true, defaultValue: undefined, comment: '', ...more };
}

function replaced(name: string, by: TargetColumn): TargetTable {
  const table = existing();
  return { ...table, columns: table.columns.map((old) => (old.name === name ? by : old)) };
}

describe('CREATE TABLE', () => {
  test('puts the key first, in key order, and lets every value be NULL', () => {
    expect(
      createTable('dw', ORDERS, {
        'table.create.properties.replication_num': '1',
        'load.strict_mode': 'true',
      }),
    ).toBe(
      [
        'CREATE TABLE `dw`.`orders_copy` (',
        '  `id` BIGINT NOT NULL,',
        '  `line` INT NOT NULL,',
        String.raw`  \`note\` STRING NULL COMMENT "says \"hi\"\nand a \\",`.replaceAll('\\`', '`'),
        '  `total` DECIMAL(10,2) NULL',
        ') ENGINE=OLAP',
        'UNIQUE KEY(`id`, `line`)',
        'DISTRIBUTED BY HASH(`id`, `line`) BUCKETS AUTO',
        'PROPERTIES (',
        '  "enable_unique_key_merge_on_write" = "true",',
        '  "replication_num" = "1"',
        ')',
      ].join('\n'),
    );
  });

  test('leaves merge-on-write to a user who says something about it', () => {
    const name = 'enable_unique_key_merge_on_write';
    const ddl = createTable('dw', ORDERS, { [`table.create.properties.${name}`]: 'false' });
    expect(ddl.split(name)).toHaveLength(2);
    expect(ddl).toContain(`"${name}" = "false"`);
  });

  test('a text key becomes the longest VARCHAR, other columns keep their type', () => {
    const columns = [column('k', 'STRING'), column('v', 'STRING')];
    const ddl = createTable('dw', { ...ORDERS, columns, key: ['k'] }, {});
    expect(ddl).toContain('`k` VARCHAR(65533) NOT NULL');
    expect(ddl).toContain('`v` STRING NULL');
  });

  test.each(['FLOAT', 'DOUBLE', 'JSON', 'ARRAY<INT>'])(
    'a %s key is refused with its name',
    (type) => {
      const spec = { ...ORDERS, columns: [column('k', type)], key: ['k'] };
      expect(() => createTable('dw', spec, {})).toThrow(
        `table dw.orders_copy cannot be a copy of shop.orders: key column k is ${type}, which Doris does not take as a key`,
      );
    },
  );

  test('a column named like the delete sign is refused', () => {
    const columns = [column('id', 'INT'), column('__doris_delete_sign__', 'INT')];
    expect(() => createTable('dw', { ...ORDERS, columns, key: ['id'] }, {})).toThrow(
      'hidden column',
    );
  });

  test('names that Doris does not take are refused with what to do, all at once', () => {
    const columns = ['id', 'a`b', 'Fine', 'fine', 'mv_x', 'größe', '__DORIS_VERSION_COL__'];
    const spec = { ...ORDERS, name: 'my.orders', target: 'my.orders', key: ['id'] };
    const refused = { ...spec, columns: columns.map((name) => column(name, 'INT')) };
    const leaveOut =
      'rename it at the source, or leave it out by "table.my.orders.exclude_columns"';
    expect(() => createTable('dw', refused, {})).toThrow(
      'table dw.my.orders cannot be made for shop.my.orders: ' +
        'Doris takes no table name but letters, digits, - and _, a letter first, 64 at most; set "table.my.orders.target_table"; ' +
        `Doris takes no column named a\`b: ${leaveOut}; ` +
        `columns Fine and fine are one name to Doris: ${leaveOut}; ` +
        `Doris takes no column named mv_x: ${leaveOut}; ` +
        `Doris takes no column named __DORIS_VERSION_COL__: ${leaveOut}`,
    );
    const taken = ['select', 'a-B_9', 'A'.repeat(64), 'größe', '表'];
    for (const name of taken) {
      const own = {
        ...spec,
        target: name,
        columns: [column('id', 'INT'), column('select', 'INT')],
      };
      expect(createTable('dw', own, {})).toContain(`\`dw\`.\`${name}\``);
    }
    for (const name of ['_t', '1t', 'a b', 'A'.repeat(65), '']) {
      expect(() => createTable('dw', { ...spec, target: name }, {})).toThrow('target_table');
    }
  });

  test('no name, comment or property breaks out of its quotes', () => {
    const names = fc.string({ unit: fc.constantFrom(...'a9._+-/?@#$%^&*" ,:é\t\n'.split('')) });
    fc.assert(
      fc.property(names, fc.string(), fc.string({ minLength: 1 }), (name, comment, value) => {
        const columns = [column('id', 'INT'), column(`v${name}`, 'INT', { comment })];
        const ddl = createTable(
          'd',
          { ...ORDERS, columns, key: ['id'] },
          {
            'table.create.properties.x': value,
          },
        );
        const bare = ddl.replaceAll(/`(?:[^`]|``)*`|"(?:[^"\\]|\\[^])*"/g, ([quote]) =>
          quote === '`' ? 'N' : 'S',
        );
        expect(bare).toBe(
          [
            'CREATE TABLE N.N (',
            '  N INT NOT NULL,',
            `  N INT NULL${comment === '' ? '' : ' COMMENT S'}`,
            ') ENGINE=OLAP',
            'UNIQUE KEY(N)',
            'DISTRIBUTED BY HASH(N) BUCKETS AUTO',
            'PROPERTIES (',
            '  S = S,',
            '  S = S',
            ')',
          ].join('\n'),
        );
      }),
    );
  });
});

test('TRUNCATE names the table', () => {
  expect(truncateTable('d`w', 't')).toBe('TRUNCATE TABLE `d``w`.`t`');
});

describe('an existing table', () => {
  test('that fits is accepted, with columns of its own', () => {
    const own = [
      target('loaded_at', 'datetime', { nullable: false, defaultValue: 'CURRENT_TIMESTAMP' }),
      target('tag', 'varchar(10)'),
    ];
    const table = existing({ key: ['line', 'id'], columns: [...existing().columns, ...own] });
    expect(() => checkTable('dw', table, ORDERS)).not.toThrow();
  });

  test('is reported with all differences at once, and what cures each', () => {
    const table = existing({
      columns: [
        target('id', 'int', { nullable: false }),
        target('line', 'int', { nullable: false }),
        target('total', 'decimal(9,2)', { nullable: false, comment: 'sum', defaultValue: '0' }),
        target('extra', 'int', { nullable: false }),
      ],
    });
    expect(() => checkTable('dw', table, ORDERS)).toThrow(
      [
        'table dw.orders_copy exists, but cannot take the rows of shop.orders: ',
        '(1) column id is int, which does not hold every BIGINT; ',
        'cure: ALTER TABLE `dw`.`orders_copy` MODIFY COLUMN `id` BIGINT KEY NOT NULL. ',
        '(2) column note is missing; cure: ALTER TABLE `dw`.`orders_copy` ADD COLUMN `note` STRING NULL. ',
        '(3) column total is decimal(9,2), which does not hold every DECIMAL(10,2), ',
        'and is NOT NULL, but a delete carries no more than the key; ',
        'cure: ALTER TABLE `dw`.`orders_copy` MODIFY COLUMN `total` DECIMAL(10,2) NULL DEFAULT "0" COMMENT "sum". ',
        '(4) column extra is not in the source, and is NOT NULL without a default; ',
        'cure: ALTER TABLE `dw`.`orders_copy` MODIFY COLUMN `extra` int NULL',
      ].join(''),
    );
  });

  test.each([
    [{ keyModel: 'DUPLICATE' as const }, 'it is a DUPLICATE KEY table, not a UNIQUE KEY table'],
    [{ keyModel: undefined }, 'it is a view, not a UNIQUE KEY table'],
    [{ key: ['id'] }, "its key is (id), the source's primary key is (id, line)"],
  ])('with another key is refused: %j', (change, text) => {
    expect(() => checkTable('dw', existing(change), ORDERS)).toThrow(text);
  });

  test('keeps a default that is a function', () => {
    const due = target('note', 'text', { nullable: false, defaultValue: 'CURRENT_TIMESTAMP(3)' });
    expect(() => checkTable('dw', replaced('note', due), ORDERS)).toThrow(
      'MODIFY COLUMN `note` text NULL DEFAULT CURRENT_TIMESTAMP(3)',
    );
  });

  test('with a column of another spelling would stay NULL there', () => {
    expect(() => checkTable('dw', replaced('note', target('Note', 'text')), ORDERS)).toThrow(
      'column note is spelled Note; cure: ALTER TABLE `dw`.`orders_copy` RENAME COLUMN `Note` `note`',
    );
  });

  test('made by Doris 4.0 from tinyint(1) stays usable', () => {
    const flag = column('note', 'TINYINT', { sourceType: 'tinyint(1)' });
    const spec = {
      ...ORDERS,
      columns: ORDERS.columns.map((old) => (old.name === 'note' ? flag : old)),
    };
    const table = replaced('note', target('note', 'boolean'));
    expect(() => checkTable('dw', table, spec)).not.toThrow();
    Object.assign(flag, { sourceType: 'tinyint(4)' });
    expect(() => checkTable('dw', table, spec)).toThrow('column note is boolean');
  });
});

describe('a sequence column', () => {
  const TYPE = 'table.create.properties.function_column.sequence_type';

  test('is made when the property asks for it', () => {
    expect(createTable('dw', ORDERS, { [TYPE]: 'bigint' })).toContain(
      '"function_column.sequence_type" = "bigint"',
    );
  });

  test.each([
    [{ [TYPE]: 'int' }, 'does not hold the number of a task'],
    [
      { 'table.create.properties.function_column.sequence_col': 'total' },
      'a change that lowers the column would be lost',
    ],
  ])('is refused when the copy would not be one: %j', (properties, words) => {
    expect(() => createTable('dw', ORDERS, properties)).toThrow(words);
  });

  test.each([
    [{ type: 'bigint' }, undefined],
    [{ type: 'LARGEINT' }, undefined],
    [{ type: 'datetime' }, 'its sequence column is datetime'],
    [{ column: 'total' }, 'it keeps the row with the largest total'],
  ])('of a table that exists: %j', (sequence, words) => {
    const check = (): void => checkTable('dw', existing({ sequence }), ORDERS);
    if (words === undefined) expect(check).not.toThrow();
    else expect(check).toThrow(words);
  });
});
