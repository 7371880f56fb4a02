import type { Dashboard, FieldConfig, Panel, RowPanel } from '@grafana/schema';

/**
 * A type from @grafana/schema as it appears in JSON. Only the package's types are imported, never
 * its code, so its enums are replaced by their values.
 */
export type Json<T> = unknown extends T
  ? unknown
  : T extends string
    ? `${T}`
    : T extends number
      ? number extends T
        ? number
        : `${T}` extends `${infer N extends number}`
          ? N
          : never
      : T extends readonly (infer E)[]
        ? readonly Json<E>[]
        : T extends object
          ? { readonly [K in keyof T]: Json<T[K]> }
          : T;

export type DashboardJson = Json<Dashboard>;
export type PanelJson = Json<Panel>;
export type RowJson = Json<RowPanel>;
export type FieldJson = Json<FieldConfig>;
export type OverrideJson = NonNullable<PanelJson['fieldConfig']>['overrides'][number];

/** Columns of Grafana's grid. */
export const GRID_COLUMNS = 24;

/** The data source that the viewer selects in the dashboard. */
export const DATA_SOURCE = { type: 'prometheus', uid: '${datasource}' } as const;
