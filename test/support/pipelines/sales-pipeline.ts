// test/support/pipelines/sales-pipeline: a pipeline with the shop's empty tables and its reports.

import { applySchema } from '../../../generator/database/schema.ts'
import { loadConfig } from '../../../runtime/config/config.ts'
import { packagePath } from '../../../runtime/files.ts'
import { quietLog, type Servers } from '../servers/services.ts'
import { type Pipeline, startPipeline } from './pipeline.ts'

/** Its services are not started. */
export async function prepareSalesPipeline(services: Servers, reportTimeZone: string): Promise<Pipeline> {
  const model = packagePath('model/sales')
  const { tables } = loadConfig({ file: packagePath('model/sales/millrace.yaml'), env: {}, cwd: model })
  const pipeline = await startPipeline(services, { start: false, tables, settings: { model, reportTimeZone } })
  try {
    await applySchema(pipeline.psqlUrl, quietLog())
    return pipeline
  } catch (error) {
    await pipeline[Symbol.asyncDispose]()
    throw error
  }
}
