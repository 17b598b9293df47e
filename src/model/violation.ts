/**
 * What must never happen. Each kind is counted durably, so that a kill does not hide it, shown in `/metrics`, and expected to be
 * 0 at the end of every end-to-end test.
 */
export const VIOLATIONS = {
  position_went_back: 'Positions recorded that are before the one recorded last',
  acknowledged_ahead:
    'Positions that were to be acknowledged to the source before they were durable',
  load_without_intent: 'Loads begun whose labels were not on disk',
  publication_shrank: 'Tables that left a publication while we made sure of it',
  rows_without_schema: 'Loads of rows whose columns are not those recorded for their table',
} as const;

export type Violation = keyof typeof VIOLATIONS;
