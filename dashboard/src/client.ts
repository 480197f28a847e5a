// The one door to the agent over HTTP: a path, a parameter or a body which its description
// (`api/openapi.json`) does not know is a type error. Knows nothing of what the answers mean.

import createClient from 'openapi-fetch';

import type { paths } from '../generated/api';

const REQUEST_TIMEOUT_MS = 10_000;

export const agent = createClient<paths>({
  fetch: (request) => fetch(request, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) }),
});

/** The agent answered, but not with what was asked; `message` is for the operator. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
  }
}

interface Answer<Body> {
  data?: Body;
  error?: unknown;
  response: Response;
}

/** The body that was asked for, or what the agent says instead. */
export async function told<Body>(asked: Promise<Answer<Body>>): Promise<Body> {
  const { data, error, response } = await asked;
  if (data === undefined) throw new ApiError(response.status, refusal(response.status, error));
  return data;
}

/** Reads problem+json if there is one: whoever stands between may answer with anything. */
function refusal(status: number, body: unknown): string {
  const texts = [field(body, 'title'), field(body, 'detail')].filter(
    (text) => typeof text === 'string' && text !== '',
  );
  return texts.length > 0 ? texts.join(': ') : `status ${status}`;
}

/** The value of a field of something that came from outside. */
export function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
