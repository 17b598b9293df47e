/** What a job's slot and publication are called unless its properties say otherwise; those with these names are the job's own. */
export function ownNames(jobId: number): {
  readonly slot_name: string;
  readonly publication_name: string;
} {
  return { slot_name: `doris_cdc_${jobId}`, publication_name: `doris_pub_${jobId}` };
}
