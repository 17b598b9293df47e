/**
 * What to do when the log no longer holds a job's place. A copy only adds and replaces rows: those that were deleted at the source since
 * that place would stay in Doris.
 */
export const COPY_ANEW =
  'Drop the job, empty its Doris tables (rows that were deleted meanwhile would stay in them), and create it again.';
