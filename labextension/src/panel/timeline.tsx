/** Segments and the waits between them, one below the other: waits are so long that a scale would hide the work. */

import React from 'react';

import { IExecution, ISegment, ISettled } from '../api';
import { at, spoken, who } from '../words';

export function Timeline({ execution, now }: { execution: IExecution; now: number }): React.JSX.Element {
  const waits = execution.history?.suspensions ?? [];
  return (
    <ol className="pf-timeline">
      {execution.usage.segments.map(segment => (
        <React.Fragment key={segment.segment}>
          <Worked segment={segment} />
          {waits
            .filter(wait => wait.segment === segment.segment)
            .map(wait => (
              <Waited key={`${wait.step} ${wait.since}`} wait={wait} now={now} />
            ))}
        </React.Fragment>
      ))}
    </ol>
  );
}

function Worked({ segment }: { segment: ISegment }): React.JSX.Element {
  const { started_at, state, attempts, compute_seconds } = segment;
  return (
    <li className="pf-segment" data-pf-segment={state}>
      <strong>Segment {segment.segment}</strong> {state}
      <span className="pf-quiet" title={started_at ? at(started_at) : ''}>
        {started_at ? ` · ${new Date(started_at).toLocaleTimeString()} · ${spoken(compute_seconds)}` : ' · not started'}
        {attempts > 1 && ` · attempt ${attempts}`}
      </span>
    </li>
  );
}

function Waited({ wait, now }: { wait: ISettled; now: number }): React.JSX.Element {
  const until = wait.settled_at === null ? now : Date.parse(wait.settled_at);
  const how = { resume: 'resumed', cancel: 'cancelled', timeout: 'timed out' }[wait.action ?? ''] ?? wait.state;
  const lasted = spoken((until - Date.parse(wait.since)) / 1000);
  return (
    <li className="pf-wait">
      {wait.state === 'open'
        ? `${wait.step} waits, ${lasted} so far`
        : `${wait.step} waited ${lasted}, ${how} by ${who(wait.settled_by)}`}
    </li>
  );
}
