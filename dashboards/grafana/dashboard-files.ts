import { cluster } from './cluster.ts';
import { draw, type Plan } from './layout.ts';
import { gpu } from './gpu.ts';
import { training } from './training.ts';

/**
 * A dashboard as a file: what `mnist-dist dashboards` writes, and what stands beside its source.
 */
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

/** The same bytes whenever they are drawn. */
export function dashboardFiles(): DashboardFile[] {
  return plans.map(([name, plan]) => ({
    name,
    title: plan.title,
    text: `${JSON.stringify(draw(plan), undefined, 2)}\n`,
  }));
}

/** Whether a file that is there already is a dashboard of ours, of whatever version. */
export function isOurs(text: string): boolean {
  return plans.some(([, { uid }]) => new RegExp(`"uid":\\s*"${uid}"`).test(text));
}
