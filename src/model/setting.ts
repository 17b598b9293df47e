/** Settings of the FE that concern streaming jobs, with the manual's defaults (job-sql.md §4.5). All are whole numbers. */
export const SETTINGS = {
  /** Streaming jobs that may exist. */
  max_streaming_job_num: { default: 1024, min: 0, max: 1_000_000 },
  /** Threads that run jobs, where `job-threads` allows as many; counts for threads that are started later. */
  job_streaming_task_exec_thread_num: { default: 10, min: 1, max: 1_000 },
  /** Tasks of each job that `tasks()` remembers; 0: none. */
  max_streaming_task_show_count: { default: 100, min: 0, max: 100_000 },
} as const;

export type SettingName = keyof typeof SETTINGS;

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

/** The setting called `name`, in any case. */
export function findSetting(name: string): SettingName | undefined {
  const wanted = name.toLowerCase();
  return SETTING_NAMES.find((known) => known === wanted);
}
