import type { ProxyHandle } from './proxy.ts';

/** The proxy's metrics page (Prometheus text format). */
export async function readMetrics({ admin }: ProxyHandle): Promise<string> {
  return await (await fetch(`http://${admin.host}:${admin.port}/metrics`)).text();
}

/** A job's figure, as `streaming_job_per_job_<name>` has it. @throws when the page does not have it. */
export function jobFigure(metrics: string, name: string, job: string): number {
  const line = new RegExp(
    String.raw`^streaming_job_per_job_${name}\{[^}]*job_name="${job}"\} (\d+)$`,
    'm',
  );
  const found = line.exec(metrics);
  if (found === null) throw new Error(`no figure ${name} of job ${job}`);
  return Number(found[1]);
}
