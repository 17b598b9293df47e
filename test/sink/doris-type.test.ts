import { describe, expect, test } from 'vitest';
import { holds } from '../../src/sink/doris-type.ts';

describe('one type in the spellings of DESC, information_schema and the manual', () => {
  test.each([
    ['int(11)', 'INT'],
    ['bigint(20)', 'BIGINT'],
    ['bigint unsigned', 'LARGEINT'],
    ['decimalv3(10, 2)', 'DECIMAL(10,2)'],
    ['datetimev2(3)', 'DATETIME(3)'],
    ['datetime', 'DATETIME(0)'],
    ['datev2', 'DATE'],
    ['text', 'STRING'],
    ['jsonb', 'JSON'],
    ['tinyint(1)', 'BOOLEAN'],
    ['tinyint(4)', 'TINYINT'],
    ['array<int(11)>', 'ARRAY<INT>'],
    ['largeint', 'LARGEINT'],
    ['map<int,text>', 'MAP<INT,STRING>'],
  ])('%s is %s', (printed, type) => {
    expect(holds(printed, type)).toBe(true);
  });
});

describe('a type holds another when no value changes', () => {
  test.each([
    ['bigint', 'INT'],
    ['largeint', 'BIGINT'],
    ['decimal(10,0)', 'INT'],
    ['double', 'INT'],
    ['varchar(11)', 'INT'],
    ['decimal(12,4)', 'DECIMAL(10,2)'],
    ['bigint', 'DECIMAL(18,0)'],
    ['varchar(13)', 'DECIMAL(10,2)'],
    ['double', 'FLOAT'],
    ['datetime', 'DATE'],
    ['datetime(6)', 'DATETIME(3)'],
    ['varchar(30)', 'CHAR(30)'],
    ['varchar(30)', 'VARCHAR(20)'],
    ['varchar(36)', 'STRING'],
    ['json', 'STRING'],
    ['variant', 'JSON'],
    ['text', 'JSON'],
    ['array<bigint>', 'ARRAY<INT>'],
    ['some_new_type', 'SOME_NEW_TYPE'],
    ['unknown', 'JSON'],
  ])('%s holds %s', (actual, wanted) => {
    expect(holds(actual, wanted)).toBe(true);
  });

  test.each([
    ['int', 'BIGINT'],
    ['boolean', 'TINYINT'],
    ['bigint', 'LARGEINT'],
    ['float', 'INT'],
    ['double', 'BIGINT'],
    ['decimal(9,0)', 'INT'],
    ['varchar(10)', 'INT'],
    ['decimal(10,1)', 'DECIMAL(10,2)'],
    ['decimal(11,4)', 'DECIMAL(10,2)'],
    ['bigint', 'DECIMAL(19,0)'],
    ['bigint', 'DECIMAL(10,2)'],
    ['double', 'DECIMAL(10,2)'],
    ['float', 'DOUBLE'],
    ['date', 'DATETIME(0)'],
    ['datetime(3)', 'DATETIME(6)'],
    ['datetime', 'DATETIME(6)'],
    ['char(29)', 'CHAR(30)'],
    ['varchar(19)', 'VARCHAR(20)'],
    ['varchar(18)', 'DATETIME(0)'],
    ['int', 'STRING'],
    ['json', 'ARRAY<INT>'],
    ['array<int>', 'ARRAY<BIGINT>'],
    ['int', 'SOME_NEW_TYPE'],
  ])('%s does not hold %s', (actual, wanted) => {
    expect(holds(actual, wanted)).toBe(false);
  });
});
