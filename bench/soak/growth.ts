/** Lines through measured points: what grows, and by how much. */

export type Point = { readonly x: number; readonly y: number };

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Units of y per unit of x by least squares; NaN when all x are one. */
export function slope(points: readonly Point[]): number {
  const [x, y] = [mean(points.map((point) => point.x)), mean(points.map((point) => point.y))];
  const covariance = points.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0);
  return covariance / points.reduce((sum, point) => sum + (point.x - x) ** 2, 0);
}

/** What the line through the points adds from the first x to the last. */
export function growth(points: readonly Point[]): number {
  const span = (points.at(-1)?.x ?? 0) - (points[0]?.x ?? 0);
  return span === 0 ? 0 : slope(points) * span;
}

/** The later half: what fills once (a heap, a cache) has filled by then. */
export const laterHalf = <T>(all: readonly T[]): readonly T[] => all.slice(Math.floor(all.length / 2));
