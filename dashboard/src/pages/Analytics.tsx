import { useSyncExternalStore, type ReactElement } from 'react';

import type { Snapshot } from '../api';
import { timeOfDay } from '../format';
import { HOLE_MS, traceId, WINDOW_MS, type History, type Sample } from '../history';
import { Chart, type Line } from '../parts/Chart';
import { Section } from '../parts/Section';
import { AgeSince } from '../session';
import { allStale } from '../stale';
import { chartsOf, type Trace } from '../traces';

const CHARTS_MAX = 24;
const WINDOW_MIN = WINDOW_MS / 60_000;

/** How did we get here? */
export function Analytics({
  snapshot,
  history,
}: {
  snapshot: Snapshot;
  history: History;
}): ReactElement {
  const samples = useSyncExternalStore(history.subscribe, history.samples);
  const charts = chartsOf(snapshot);
  const opened_ms = samples[0]?.at_ms ?? null;
  return (
    <main className="page">
      <p className="answer">
        Since this page was opened, at most {WINDOW_MIN} minutes: first point{' '}
        {opened_ms === null ? (
          'not recorded yet'
        ) : (
          <>
            {timeOfDay(opened_ms)} UTC, <AgeSince instant_ms={opened_ms} /> ago
          </>
        )}
        <span className="caption">
          one point a second from the agent&rsquo;s stream, kept in this browser only; a stale or
          unknown figure leaves a gap
        </span>
      </p>
      <div className="charts">
        {charts.slice(0, CHARTS_MAX).map(([title, traces]) => (
          <Section
            key={title}
            title={title}
            caption={traces[0]?.source}
            stale={allStale(traces, (trace) => trace.stale)}
          >
            <Chart
              label={title}
              unit={traces[0]?.unit ?? 'unit unknown'}
              lines={traces.map((trace) => lineOf(trace, samples))}
              hole_ms={HOLE_MS}
            />
          </Section>
        ))}
      </div>
      {charts.length > CHARTS_MAX ? (
        <p className="empty">and {charts.length - CHARTS_MAX} more charts, not shown</p>
      ) : null}
    </main>
  );
}

function lineOf(trace: Trace, samples: readonly Sample[]): Line {
  const id = traceId(trace);
  return {
    key: trace.key,
    name: trace.name,
    points: samples.map(({ at_ms, values }) => ({ at_ms, value: values.get(id) ?? null })),
  };
}
