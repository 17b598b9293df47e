import type { Job, Properties, SourceType } from '../model/job.ts';
import type { Violation } from '../model/violation.ts';
import { readMysqlOptions } from './mysql/mysql-options.ts';
import { MysqlSource } from './mysql/mysql-source.ts';
import { readPostgresOptions } from './postgres/postgres-options.ts';
import { PostgresSource } from './postgres/postgres-source.ts';
import { readRootCertificate } from './root-certificate.ts';
import type { Source } from './source.ts';

/** What a source must know of its job beside the properties. */
export interface SourceContext {
  readonly jobId: number;
  /** PEM text of the file that the property `ssl_rootcert` names. */
  readonly rootCertificate?: string;
  /** Told of what must never happen. */
  readonly violated?: (kind: Violation) => Promise<void>;
}

type Open = (properties: Properties, password: string, context: SourceContext) => Promise<Source>;

const OPEN: Readonly<Record<SourceType, Open>> = {
  MYSQL: (properties, password, context) =>
    MysqlSource.open(readMysqlOptions(properties, password, context)),
  POSTGRES: (properties, password, context) =>
    PostgresSource.open(readPostgresOptions(properties, password, context)),
};

/**
 * Connects to the source that a job's properties name.
 *
 * @throws ProxyError STATEMENT for properties that say nothing usable, SOURCE_UNREACHABLE, SOURCE_ACCESS, SOURCE_SETTING.
 */
export async function openSource(
  type: SourceType,
  properties: Properties,
  password: string,
  context: SourceContext,
): Promise<Source> {
  return await OPEN[type](properties, password, context);
}

/** As {@link openSource}, for a job; `certificateDir` holds what `ssl_rootcert` may name, `violated` is told of what must never happen. */
export async function openJobSource(
  { id, sourceType, sourceProperties }: Job,
  password: string,
  certificateDir: string | undefined,
  violated: (kind: Violation) => Promise<void>,
): Promise<Source> {
  const rootCertificate = readRootCertificate(certificateDir, sourceProperties);
  return await openSource(sourceType, sourceProperties, password, {
    jobId: id,
    violated,
    ...(rootCertificate === undefined ? {} : { rootCertificate }),
  });
}
