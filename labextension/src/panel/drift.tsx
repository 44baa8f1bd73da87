/** Changes since a question was answered: the shown values beside the current ones. */

import React from 'react';

import { IDrift } from '../api';

export function Drift({ drift }: { drift: IDrift }): React.JSX.Element {
  const { name, reason, rows, more } = drift;
  return (
    <div className="pf-drift">
      <p className="pf-wrap" dir="auto">
        <strong>{name}</strong> has changed: {reason}.
      </p>
      <div className="pf-wide" tabIndex={0} role="region" aria-label={`${name}: shown and now`}>
        <table>
          <thead>
            <tr>
              <td />
              <th scope="col">Shown</th>
              <th scope="col">Now</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row, n) => (
              <tr key={n}>
                <th scope="row" dir="auto">
                  {row.place || name}
                </th>
                <td dir="auto">{row.old}</td>
                <td dir="auto">{row.changed ? <mark>{row.new}</mark> : row.new}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {more > 0 && <p className="pf-quiet">And {more} more that have changed.</p>}
    </div>
  );
}
