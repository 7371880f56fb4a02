import type { BoardCurve, BoardEvaluation, BoardView, MistakePairs } from '../../board/api.ts';
import { get } from '../browser-wire.ts';

/** The requests to the board's server. Only this file parses its responses. */

export async function fetchRuns(): Promise<BoardView> {
  return (await json('/api/runs')) as BoardView;
}

export async function fetchCurve(run: string): Promise<BoardCurve> {
  return (await json(`/api/runs/${encodeURIComponent(run)}/curve`)) as BoardCurve;
}

/** Undefined for a run that has not been evaluated. */
export async function fetchEvaluation(run: string): Promise<BoardEvaluation | undefined> {
  const response = await get(`/api/runs/${encodeURIComponent(run)}/evaluation`);
  if (response.status === 404) return undefined;
  return (await parsed(response)) as BoardEvaluation;
}

export async function fetchMistakes(run: string, other: string): Promise<MistakePairs> {
  const path = `/api/runs/${encodeURIComponent(run)}/mistakes/${encodeURIComponent(other)}`;
  return (await json(path)) as MistakePairs;
}

async function json(path: string): Promise<unknown> {
  return await parsed(await get(path));
}

/** Rejects with the server's sentence. */
async function parsed(response: Response): Promise<unknown> {
  if (response.ok) return await response.json();
  throw new Error((await response.text()).slice(0, 500).trim() || `status ${response.status}`);
}
