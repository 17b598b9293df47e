import { describe, expect, test } from 'vitest';
import { recognize } from '../../src/sql/recognize.ts';
import { mayBeOurs } from '../../src/wire/request.ts';

const config = (sql: string): unknown => {
  const bytes = Buffer.from(sql);
  if (!mayBeOurs(bytes, 0, bytes.length)) return undefined;
  const found = recognize(sql);
  return found?.kind === 'config' ? found.statement : found;
};

const set = (name: string, value: string): unknown => ({ kind: 'setConfig', name, value });
const shows = (...names: string[]): unknown => ({ kind: 'showConfigs', names });
const show = (name: string): unknown => ({ kind: 'showConfig', name });

describe('settings of ours', () => {
  test.each([
    [
      'ADMIN SET FRONTEND CONFIG ("max_streaming_job_num" = "5")',
      set('max_streaming_job_num', '5'),
    ],
    [
      "admin set frontend config ('MAX_streaming_task_show_count'='0') all;",
      set('max_streaming_task_show_count', '0'),
    ],
    [
      'ADMIN SET ALL FRONTENDS CONFIG (job_streaming_task_exec_thread_num = 3) -- c',
      set('job_streaming_task_exec_thread_num', '3'),
    ],
    ["SHOW FRONTEND CONFIG LIKE 'max_streaming_job_num'", show('max_streaming_job_num')],
    [
      String.raw`/**/ ADMIN SHOW FRONTEND CONFIG LIKE "max\_streaming\_job\_num";`,
      show('max_streaming_job_num'),
    ],
    ["SHOW FRONTEND CONFIG LIKE '%streaming_job%'", shows('max_streaming_job_num')],
    [
      "show frontend  config like 'MAX%' ;",
      shows('max_streaming_job_num', 'max_streaming_task_show_count'),
    ],
    [
      'admin show frontend config',
      shows(
        'max_streaming_job_num',
        'job_streaming_task_exec_thread_num',
        'max_streaming_task_show_count',
      ),
    ],
  ])('%s', (sql, expected) => {
    expect(config(sql)).toEqual(expected);
  });
});

describe('everything else of the kind is Doris’', () => {
  test.each([
    'ADMIN SET FRONTEND CONFIG ("disable_balance" = "true")',
    'ADMIN SET FRONTEND CONFIG ("max_streaming_job_num" = "5", "disable_balance" = "true")',
    'ADMIN SET FRONTEND CONFIG ("streaming_job_max_auto_resume_count" = "5")',
    'ADMIN SET FRONTEND CONFIG ()',
    'ADMIN SET FRONTENDS CONFIG ("max_streaming_job_num" = "5")',
    'ADMIN SET FRONTEND CONFIG ("max_streaming_job_num" = "5") extra',
    'ADMIN SET FRONTEND CONFIG "max_streaming_job_num" = "5"',
    'SHOW FRONTEND CONFIG FROM 1',
    "SHOW FRONTEND CONFIG LIKE '%balance%'",
    "SHOW FRONTEND CONFIG WHERE Key = 'max_streaming_job_num'",
    "SHOW FRONTEND CONFIG LIKE 'max_streaming_job_num' x",
    "SHOW BACKEND CONFIG LIKE 'max_streaming_job_num'",
    "SHOW VARIABLES LIKE 'max_streaming_job_num'",
    "SHOW FRONTEND CONFIG LIKE 'max_streaming_job_num",
    "SELECT 'SHOW FRONTEND CONFIG LIKE max_streaming_job_num'",
  ])('%s', (sql) => {
    expect(config(sql)).toBeUndefined();
  });
});
