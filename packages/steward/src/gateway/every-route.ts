/** All routes of sites. Pure. */
import type { RouteSpec, SiteSpec, StepSpec } from '../config/model.ts';

/** Every route of a site: each before those of its conditions, and these before those within it. */
export function* everyRoute({ steps, routes, rest }: Pick<SiteSpec, 'steps' | 'routes' | 'rest'>): Generator<RouteSpec> {
  yield* inSteps(steps);
  for (const route of [...routes, rest]) yield* withInner(route);
}

function* withInner(route: RouteSpec): Generator<RouteSpec> {
  yield route;
  yield* inSteps(route.steps);
  for (const inner of route.routes) yield* withInner(inner);
}

function* inSteps(steps: readonly StepSpec[]): Generator<RouteSpec> {
  for (const step of steps) {
    if (step.kind !== 'if') continue;
    yield* inSteps(step.steps);
    if (step.route !== undefined) yield* withInner(step.route);
  }
}
