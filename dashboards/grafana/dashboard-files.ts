import { cluster } from './cluster.ts';
import { draw, type Plan } from './layout.ts';
import { gpu } from './gpu.ts';
import { training } from './training.ts';

/** A dashboard file, as `mnist-dist dashboards` writes it. */
export interface DashboardFile {
  readonly name: string;
  readonly title: string;
  readonly text: string;
}

const plans: readonly (readonly [name: string, plan: Plan])[] = [
  ['training.json', training],
  ['cluster.json', cluster],
  ['gpu.json', gpu],
];

/** All dashboards, with the same bytes on every call. */
export function dashboardFiles(): DashboardFile[] {
  return plans.map(([name, plan]) => ({
    name,
    title: plan.title,
    text: `${JSON.stringify(draw(plan), undefined, 2)}\n`,
  }));
}

/** Whether the text of an existing file is one of these dashboards, in any version. */
export function isOurs(text: string): boolean {
  return plans.some(([, { uid }]) => new RegExp(`"uid":\\s*"${uid}"`).test(text));
}
