import { describe, expect, test } from 'vitest';
import type { ColumnSpec, TableSpec } from '../src/model/table.ts';
import {
  ALL,
  copyOf,
  failure,
  POSTGRES_VERSIONS,
  PostgresFixture,
} from './support/postgres-fixture.ts';
import { openSource } from '../src/source/open-source.ts';
import { EDGES } from './support/type-cases-postgres.ts';
import { Replica } from './support/postgres-replica.ts';

const EDGE_TYPES = `
  CREATE SCHEMA edge;
  CREATE EXTENSION hstore SCHEMA edge;
  CREATE TYPE edge.mood AS ENUM ('so ''so''', 'ok');
  CREATE DOMAIN edge.positive AS integer CHECK (VALUE > 0);
  CREATE DOMAIN edge.amount AS numeric(10,2);
  CREATE DOMAIN edge.price AS edge.amount;
  CREATE DOMAIN edge.ids AS integer[];
  CREATE TYPE edge.pair AS (a integer, b text);`;

/** Types that older versions do not have. */
const SINCE: Readonly<Record<string, number>> = {
  'numeric(5,-2)': 15,
  'numeric(3,5)': 15,
  int4multirange: 14,
};

describe.each(POSTGRES_VERSIONS)('Postgres %i', (version) => {
  const fixture = new PostgresFixture(version);

  test.runIf(fixture.here)('every type has the same bytes by COPY and by the log', async () => {
    const types = Object.entries(EDGES).filter(([type]) => (SINCE[type] ?? 0) <= version);
    await fixture.server.query(EDGE_TYPES);
    const columns = types.map(([type], i) => `c${i} ${type}`);
    // Domains, composites and the rest are made in `edge`, the table too.
    await fixture.server.query(`CREATE TABLE edge.t (id int PRIMARY KEY, ${columns.join(', ')})`);
    await using source = await fixture.open('edge');
    const tables = await source.preflight(ALL);
    const from = await source.latestPosition();
    const rows = Math.max(...types.map(([, values]) => values.length));
    for (let r = 0; r < rows; r++) {
      const values = types.map(([type, all]) =>
        all[r] === undefined ? 'NULL' : `(${all[r]})::${type}`,
      );
      await fixture.server.query(`INSERT INTO edge.t VALUES (${r}, ${values.join(', ')})`);
    }
    const snapshot = await copyOf(source, tables);
    const streamed = new Replica();
    await using stream = await source.openStream(tables, from);
    await streamed.follow(stream, await source.latestPosition());
    const [table] = tables as [TableSpec];
    expect(snapshot.rows(table).size).toBe(rows);
    for (const [key, line] of snapshot.rows(table)) {
      const [a, b] = [JSON.parse(line), JSON.parse(streamed.rows(table).get(key)!)] as [
        object,
        object,
      ];
      expect(b).toEqual(a);
      expect(streamed.rows(table).get(key)).toBe(line);
    }
    const of = (type: string): unknown[] => {
      const column = `c${types.findIndex(([name]) => name === type)}`;
      return EDGES[type]!.map((_, r) => snapshot.row(table, r)![column]);
    };
    const dorisType = (type: string): string =>
      table.columns[1 + types.findIndex(([name]) => name === type)]!.dorisType;
    expect(of('bigint')).toEqual([
      '-9223372036854775808',
      '9223372036854775807',
      '9007199254740993',
    ]);
    expect(of('real').slice(0, 4)).toEqual(['NaN', 'Infinity', '-Infinity', 1.1]);
    expect(of('numeric')[0]).toBe('NaN');
    expect([dorisType('numeric'), dorisType('numeric(39,1)')]).toEqual(['STRING', 'STRING']);
    if (version >= 15) {
      const scaled = (type: string): unknown[] => [dorisType(type), of(type)[0]];
      expect(scaled('numeric(5,-2)')).toEqual(['DECIMAL(7,0)', '12300']);
      expect(scaled('numeric(3,5)')).toEqual(['DECIMAL(5,5)', '0.00123']);
    }
    expect(of('money')[0]).toBe('-$1,234.50');
    expect([dorisType('character(5)'), of('character(5)')[0]]).toEqual(['CHAR(20)', 'ab   ']);
    expect(of('text')[1]).toBe('tab\there\nnew\\back\rret\b\v\f\x01\x1f\x7f');
    expect(of('text').slice(2, 4)).toEqual(['\\N', '\\.']);
    expect(of('bytea').slice(0, 3)).toEqual(['', '3q2+7wA=', 'AA==']);
    expect(of('timestamptz').slice(0, 2)).toEqual(['2024-10-27 00:30:00', '2024-10-27 01:30:00']);
    expect(of('interval')[1]).toBe('P1Y2M3DT4H5M6.789S');
    expect(of('timetz')[0]).toBe('23:59:59.9+05:30');
    expect(of('json')[0]).toBe('{"b": 2, "a":  [1.0, 9007199254740993, 1e400], "b": 3}');
    expect(of('bit')).toEqual([true, false]);
    expect([dorisType('bit(5)'), of('bit(5)')[0]]).toEqual(['STRING', '10101']);
    expect([dorisType('edge.positive'), of('edge.positive')[0]]).toEqual(['INT', 1]);
    expect([dorisType('edge.price'), of('edge.price')[0]]).toEqual(['DECIMAL(10,2)', '1.25']);
    expect([dorisType('edge.ids'), of('edge.ids')[0]]).toEqual(['ARRAY<INT>', [1, null]]);
    expect(JSON.parse(of('edge.hstore')[0] as string)).toEqual({
      a: '1',
      'b c': null,
      'q"\\': '"v\\"',
      ü: 'ä',
    });
    expect(of('integer[]')).toEqual([[1, null, 3], [], [7, 8]]);
    expect([dorisType('integer[][]'), of('integer[][]')[0]]).toEqual([
      'ARRAY<ARRAY<INT>>',
      [
        [1, 2],
        [3, null],
      ],
    ]);
    expect(of('numeric(10,2)[]')[0]).toEqual(['1.50', null]);
    expect(of('text[]')[0]).toEqual([
      'a',
      'b,c',
      'q"x',
      '\\',
      '',
      'NULL',
      null,
      '{}',
      'new\nline\ttab',
      ' pad ',
      'ü😀',
    ]);
    expect(of('box[]')[0]).toEqual(['(1,1),(0,0)', '(2,2),(1,1)']);
    expect(of('bytea[]')[0]).toEqual(['3q0=', '', null]);
    await source.release();
  });

  test.runIf(fixture.here)(
    'moments are printed by the clocks of the job, the hour that comes twice too',
    async () => {
      const { host, port, user, password, database } = fixture.server;
      await fixture.schema(
        'zoned',
        `CREATE TYPE span AS (at timestamptz, n int); CREATE TABLE keyed (at timestamptz PRIMARY KEY);
         CREATE TABLE t (id int PRIMARY KEY, ts timestamptz, s timestamptz(0), a timestamptz[], r tstzrange, c span, w timestamp);
         ALTER ROLE ${user} SET TimeZone = 'Asia/Shanghai'`,
      );
      const moments = [
        '2024-11-03 05:30:00.5+00',
        '2024-11-03 06:30:00.5+00',
        '2024-03-10 07:00:00+00',
        '1883-11-18 16:00:00+00',
        '1991-09-14 16:59:59.999+00',
      ];
      const rows = moments.map(
        (at, id) =>
          `(${id}, '${at}', '${at}', '{"${at}"}', '["${at}",)', ROW('${at}', 1), '2024-11-03 01:30:00')`,
      );
      /** What clocks show, and the offset. */
      const shown: Readonly<Record<string, readonly string[]>> = {
        'America/New_York': [
          '2024-11-03 01:30:00.5|-04',
          '2024-11-03 01:30:00.5|-05',
          '2024-03-10 03:00:00|-04',
          '1883-11-18 11:03:58|-04:56:02',
          '1991-09-14 12:59:59.999|-04',
        ],
        // Of the server: nothing else is said.
        SYSTEM: [
          '2024-11-03 13:30:00.5|+08',
          '2024-11-03 14:30:00.5|+08',
          '2024-03-10 15:00:00|+08',
          '1883-11-19 00:05:43|+08:05:43',
          '1991-09-15 01:59:59.999|+09',
        ],
        '-03:30': [
          '2024-11-03 02:00:00.5|-03:30',
          '2024-11-03 03:00:00.5|-03:30',
          '2024-03-10 03:30:00|-03:30',
          '1883-11-18 12:30:00|-03:30',
          '1991-09-14 13:29:59.999|-03:30',
        ],
      };
      for (const [zone, clocks] of Object.entries(shown)) {
        const properties = {
          jdbc_url: `jdbc:postgresql://${host}:${port}/`,
          user,
          database,
          schema: 'zoned',
          server_time_zone: zone,
        };
        fixture.job++;
        const creating = await openSource('POSTGRES', properties, password, { jobId: fixture.job });
        const found = await creating.findTimeZone();
        expect(found).toBe(zone === 'SYSTEM' ? 'Asia/Shanghai' : zone);
        const keyed = { ...ALL, include: ['keyed'] };
        if (zone === '-03:30') expect(await creating.preflight(keyed)).toHaveLength(1);
        else await expect(creating.preflight(keyed)).rejects.toThrow('key column at holds moments');
        const tables = await creating.preflight({ ...ALL, include: ['t'] });
        const from = await creating.safePosition();
        await creating[Symbol.asyncDispose]();

        await using source = await openSource(
          'POSTGRES',
          { ...properties, server_time_zone: found },
          password,
          { jobId: fixture.job },
        );
        await fixture.server.query(`INSERT INTO zoned.t VALUES ${rows.join()}`);
        const [table] = tables as [TableSpec];
        const snapshot = new Replica();
        await snapshot.copy(source, tables, 7);
        const streamed = new Replica();
        await using stream = await source.openStream(tables, from);
        await streamed.follow(stream, await source.latestPosition());
        for (const replica of [snapshot, streamed]) {
          expect(moments.map((_, id) => replica.row(table, id))).toEqual(
            clocks.map((text, id) => {
              const [clock, offset] = text.split('|') as [string, string];
              return {
                id,
                ts: clock,
                s: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/) as unknown,
                a: [clock],
                r: `["${clock}${offset}",)`,
                c: `("${clock}${offset}",1)`,
                w: '2024-11-03 01:30:00',
              };
            }),
          );
        }
        expect([...streamed.rows(table)]).toEqual([...snapshot.rows(table)]);
        await stream[Symbol.asyncDispose]();
        await fixture.server.query('DELETE FROM zoned.t');
        await source.release();
      }
      await fixture.server.query(`ALTER ROLE ${user} RESET TimeZone`);
    },
  );

  test.runIf(fixture.here)(
    'a value that Doris cannot hold stops the job and names the column',
    async () => {
      await fixture.schema(
        'outside',
        `CREATE TABLE t (id int PRIMARY KEY, d date, ts timestamptz, n numeric(5,2), a int[]);`,
      );
      await using source = await fixture.open('outside');
      const tables = await source.preflight(ALL);
      const from = await source.latestPosition();
      for (const [values, what] of [
        [`1, 'infinity', NULL, NULL, NULL`, `column d: the value 'infinity'`],
        [`1, '0044-03-15 BC', NULL, NULL, NULL`, `column d: the value '0044-03-15 BC'`],
        [`1, NULL, '-infinity', NULL, NULL`, `column ts: the value '-infinity'`],
        [`1, NULL, '12024-01-01', NULL, NULL`, `column ts: the value '12024-01-01`],
        [
          `1, NULL, '0044-03-15 12:00:00 BC', NULL, NULL`,
          `column ts: the value '0044-03-15 12:00:00+00 BC'`,
        ],
        [`1, NULL, NULL, 'NaN', NULL`, `column n: the value 'NaN'`],
        [`1, NULL, NULL, NULL, '{{1}}'`, `column a: the value '{{1}}'`],
      ] as const) {
        const at = await source.latestPosition();
        await fixture.server.query(`INSERT INTO outside.t VALUES (${values})`);
        const byCopy = await failure(copyOf(source, tables));
        await using stream = await source.openStream(tables, at);
        const byLog = await failure(new Replica().follow(stream, await source.latestPosition()));
        expect([byCopy.code, byLog.code]).toEqual(['UNDECODABLE', 'UNDECODABLE']);
        expect(byCopy.message).toContain(what);
        expect(byLog.message).toBe(byCopy.message);
        await fixture.server.query('DELETE FROM outside.t');
      }
      // The same values in a target column that is STRING are the server's text.
      const [t] = tables as [TableSpec];
      const [id, ...others] = t.columns as [ColumnSpec, ...ColumnSpec[]];
      const strings = others.map((column) => Object.assign({}, column, { dorisType: 'STRING' }));
      const asText = [{ ...t, columns: [id, ...strings] }];
      await fixture.server.query(
        `INSERT INTO outside.t VALUES (1, 'infinity', '-infinity', 'NaN', '{{1}}')`,
      );
      const replica = await copyOf(source, asText);
      const row = { id: 1, d: 'infinity', ts: '-infinity', n: 'NaN', a: '{{1}}' };
      expect(replica.row(asText[0]!, 1)).toEqual(row);
      expect(from.kind).toBe('postgres');
      await source.release();
    },
  );

  test.runIf(fixture.here)('keys of any type are split, copied and followed', async () => {
    const keys: Readonly<Record<string, string>> = {
      'double precision': 'i / 7.0 - 3',
      numeric: 'i * 1.10',
      'character(5)': `chr(97 + i % 26) || i`,
      text: `E'k''\\\\\t' || i`,
      bytea: `decode(lpad(to_hex(i), 8, '0'), 'hex')`,
      date: `'2024-01-01'::date + i`,
      timestamptz: `'2024-10-27 00:00:00+00'::timestamptz + i * interval '1 hour 0.000001 s'`,
      timetz: `'12:00:00+05:30'::timetz + i * interval '1 min'`,
      interval: `i * interval '1 day 1 hour'`,
      uuid: `md5(i::text)::uuid`,
      inet: `'10.0.0.0'::inet + i`,
      boolean: 'i % 2 = 0',
      'bit(8)': 'i::bit(8)',
      'integer[]': 'ARRAY[i / 10, i]',
      int4range: 'int4range(i, i + 5)',
      'keys.size': `(ARRAY['s', 'm', 'l'])[1 + i % 3]::keys.size`,
      'keys.code': 'i',
    };
    const tables = Object.entries(keys).map(([type, value], i) => {
      // The second key column makes the first one's duplicates unique.
      return `CREATE TABLE keys.t${i} (a ${type} COLLATE_, b int, v int, PRIMARY KEY (a, b));
        INSERT INTO keys.t${i} SELECT ${value}, i, 0 FROM generate_series(0, 60) i;`.replace(
        'COLLATE_',
        type === 'text' ? 'COLLATE "C"' : '',
      );
    });
    await fixture.server.query(
      `CREATE SCHEMA keys; CREATE TYPE keys.size AS ENUM ('s', 'm', 'l'); CREATE DOMAIN keys.code AS int; ${tables.join('\n')}`,
    );
    await using source = await fixture.open('keys');
    const specs = await source.preflight(ALL);
    const from = await source.safePosition();
    const replica = new Replica();
    expect(await replica.copy(source, specs, 7)).toBe(9 * specs.length);
    for (const spec of specs) {
      expect(replica.rows(spec).size, spec.columns[0]!.sourceType).toBe(61);
      await fixture.server.query(
        `UPDATE keys.${spec.name} SET v = 1 WHERE b % 2 = 0; UPDATE keys.${spec.name} SET b = b + 100 WHERE b < 9; DELETE FROM keys.${spec.name} WHERE b > 55 AND b < 99`,
      );
    }
    await using stream = await source.openStream(specs, from);
    await replica.follow(stream, await source.latestPosition());
    const now = await copyOf(source, specs);
    for (const spec of specs) expect(replica.rows(spec)).toEqual(now.rows(spec));
    expect(replica.rows(specs[0]!).size).toBe(56);
    await stream[Symbol.asyncDispose]();
    await source.release();
  });
});
