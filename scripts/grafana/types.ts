// What a board of ours may be, by Grafana's own types. Each panel is held to the options and fields of its type.
import type * as grafana from '@grafana/schema';
import type * as barGauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as nodeGraph from '@grafana/schema/dist/esm/raw/composable/nodegraph/panelcfg/x/NodeGraphPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as stateTimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeSeries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// JSON writes the values of enums as plain strings.
type Json<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends (infer Item)[]
      ? Json<Item>[]
      : T extends object
        ? { [Key in keyof T]: Json<T[Key]> }
        : T;

// Prometheus' own query is not among the published types: what its documentation names.
type Query = {
  refId: string;
  datasource: { type: 'prometheus'; uid: '${datasource}' };
  editorMode: 'code';
  expr: string;
  format: 'time_series' | 'table' | 'heatmap';
  instant: boolean;
  range: boolean;
  legendFormat: string;
};

// The first step of thresholds begins at minus infinity, which JSON writes as null.
type Thresholds = { mode: `${grafana.ThresholdsMode}`; steps: { color: string; value: number | null }[] };
type Mappings = {
  type: `${grafana.MappingType.ValueToText}`;
  options: Record<string, Json<grafana.ValueMappingResult>>;
}[];

type Defaults<Custom> = Json<Omit<grafana.FieldConfig, 'custom' | 'thresholds' | 'mappings'>> & {
  custom?: Custom;
  thresholds?: Thresholds;
  mappings?: Mappings;
};

// What an override sets is a path into the field's configuration and what stands there.
type Path<Custom> = Exclude<keyof grafana.FieldConfig, 'custom'> | `custom.${Extract<keyof Custom, string>}`;
type Override<Custom> = {
  [Id in Path<Custom>]: {
    id: Id;
    value?: Id extends 'thresholds'
      ? Thresholds
      : Id extends 'mappings'
        ? Mappings
        : Id extends `custom.${infer Key extends Extract<keyof Custom, string>}`
          ? Custom[Key]
          : Id extends keyof grafana.FieldConfig
            ? Json<grafana.FieldConfig[Id]>
            : never;
  };
}[Path<Custom>];

type Transformation =
  | { id: 'merge'; options: Record<string, never> }
  | {
      id: 'organize';
      options: {
        excludeByName: Record<string, boolean>;
        indexByName: Record<string, number>;
        renameByName: Record<string, string>;
      };
    };

type Of<Type extends string, Options, Custom> = Json<
  Omit<grafana.Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'transformations' | 'links'>
> & {
  type: Type;
  // The package says that tooltips and links are whole; Grafana fills in what is not there.
  links?: Partial<Json<grafana.DashboardLink>>[];
  targets: Query[];
  transformations?: Transformation[];
  options: Json<Options>;
  fieldConfig: {
    defaults: Defaults<Custom>;
    overrides: { matcher: { id: 'byName'; options: string }; properties: Override<Custom>[] }[];
  };
};

export type Panel =
  | Json<grafana.RowPanel>
  | Of<'bargauge', barGauge.Options, Record<string, never>>
  | Of<'heatmap', heatmap.Options, Json<heatmap.FieldConfig>>
  | Of<'nodeGraph', nodeGraph.Options, Record<string, never>>
  | Of<'stat', stat.Options, Record<string, never>>
  | Of<'state-timeline', stateTimeline.Options, Json<stateTimeline.FieldConfig>>
  | Of<'table', table.Options, Json<table.FieldConfig>>
  | Of<'timeseries', timeSeries.Options, Json<timeSeries.FieldConfig>>;

// An annotation of Prometheus has its query, and how its labels make the text.
type Annotation = Json<Omit<grafana.AnnotationQuery, 'target'>> & {
  target: { refId: 'Anno'; expr: string; interval: '' };
  titleFormat: string;
  textFormat: string;
  tagKeys: string;
};

// `definition` is what the editor shows.
type Variable = Json<grafana.VariableModel> & { definition?: string };

export type Board = Json<Omit<grafana.Dashboard, 'panels' | 'annotations' | 'templating'>> & {
  panels: Panel[];
  annotations: { list: Annotation[] };
  templating: { list: Variable[] };
};
