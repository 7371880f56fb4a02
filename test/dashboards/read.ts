import { z } from 'zod';
import { dashboardFiles } from '../../dashboards/grafana/dashboard-files.ts';

/** A dashboard as tests look at it: from its JSON, as Grafana does, not from its source. */
const panel = z.looseObject({
  id: z.int(),
  type: z.string(),
  title: z.string(),
  description: z.string().optional(),
  gridPos: z.strictObject({ x: z.int(), y: z.int(), w: z.int(), h: z.int() }),
  options: z.record(z.string(), z.unknown()).optional(),
  fieldConfig: z
    .looseObject({
      defaults: z.looseObject({
        unit: z.string().optional(),
        decimals: z.number().optional(),
        min: z.number().optional(),
        max: z.number().optional(),
        mappings: z
          .array(
            z.looseObject({
              options: z.record(z.string(), z.object({ text: z.string(), color: z.string() }).loose()),
            }),
          )
          .optional(),
        custom: z.record(z.string(), z.unknown()),
      }),
      overrides: z.array(
        z.object({
          matcher: z.object({ id: z.enum(['byName', 'byRegexp']), options: z.string() }),
          properties: z.array(z.object({ id: z.string(), value: z.unknown() })),
        }),
      ),
    })
    .optional(),
  transformations: z.array(z.looseObject({ id: z.string(), options: z.looseObject({}) })).optional(),
  targets: z
    .array(
      z.looseObject({
        refId: z.string(),
        expr: z.string(),
        legendFormat: z.string(),
        format: z.enum(['time_series', 'table', 'heatmap']),
        instant: z.boolean(),
      }),
    )
    .optional(),
});
export type Panel = z.infer<typeof panel>;
export type Target = NonNullable<Panel['targets']>[number];

const dashboard = z.looseObject({
  uid: z.string(),
  title: z.string(),
  annotations: z.object({
    list: z.array(z.looseObject({ name: z.string(), iconColor: z.string(), expr: z.string() })),
  }),
  templating: z.object({ list: z.array(z.looseObject({ name: z.string(), query: z.unknown() })) }),
  panels: z.array(panel),
});
export type Dashboard = z.infer<typeof dashboard> & { readonly file: string };

export function readDashboards(): Dashboard[] {
  return dashboardFiles().map(({ name, text }) => ({ ...dashboard.parse(JSON.parse(text)), file: name }));
}

/** Grafana's variables, as they are at this range and step. */
export function settled(
  expr: string,
  { run, rangeSeconds, stepSeconds }: { run: string; rangeSeconds: number; stepSeconds: number },
): string {
  return expr
    .replaceAll('$__rate_interval', `${4 * stepSeconds}s`)
    .replaceAll('$__range', `${rangeSeconds}s`)
    .replaceAll('$__interval', `${stepSeconds}s`)
    .replaceAll('$run', run);
}
