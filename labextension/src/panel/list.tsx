/** The list of executions in groups, with filter, search, pages, and one answer to several. */

import { caretLeftIcon, caretRightIcon, UseSignal } from '@jupyterlab/ui-components';
import React, { useEffect, useState } from 'react';

import { IExecution, State } from '../api';
import { IChange, IExecutions, MOST } from '../executions';
import { Commands } from '../tokens';
import { asksSomebody, FILTERS } from '../words';
import { Bulk } from './bulk';
import { usePanel } from './context';
import { GROUPS, Group, IGroup, IGroups } from './groups';
import { ILive, useLive, useNow } from './live';
import { Triggers } from './triggers';

const PER_PAGE = 25;

export function List({ isVisible }: { isVisible: boolean }): React.JSX.Element {
  const { executions } = usePanel();
  const [filter, setFilter] = useState('all');
  const [text, setText] = useState('');
  const [offset, setOffset] = useState(0);
  const [chosen, setChosen] = useState<ReadonlySet<string> | null>(null);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const settled = useSettled(text);
  const now = useNow(isVisible);
  const states = FILTERS[filter]?.states ?? [];
  const live = useLive<IGroups>(executions, {
    key: JSON.stringify([filter, settled, offset]),
    isVisible,
    ask: () => askForGroups(executions, states, settled.trim(), offset),
    concerns: (changes, patch) => concerns(changes, patch)
  });
  const groups = live.value;
  const shown = groups?.flatMap(each => each.page.executions) ?? [];
  const paged = groups?.find(each => each.isPaged);
  const isFiltered = filter !== 'all' || settled.trim() !== '';

  return (
    <>
      <header className="pf-header">
        <div className="pf-title">
          <h2>Workflows</h2>
          <button
            type="button"
            className="pf-text-button"
            aria-pressed={chosen !== null}
            title="Choose several that wait, and answer them at once"
            onClick={() => setChosen(chosen === null ? new Set() : null)}
          >
            {chosen === null ? 'Select' : 'Done'}
          </button>
        </div>
        <div className="pf-filters">
          <input
            className="jp-mod-styled"
            type="search"
            placeholder="Search notebook or id"
            aria-label="Search notebook or id"
            value={text}
            onChange={event => {
              setText(event.target.value);
              setOffset(0);
            }}
          />
          <select
            className="jp-mod-styled"
            aria-label="Filter by state"
            value={filter}
            onChange={event => {
              setFilter(event.target.value);
              setOffset(0);
            }}
          >
            {Object.entries(FILTERS).map(([name, each]) => (
              <option key={name} value={name}>
                {each.label}
              </option>
            ))}
          </select>
        </div>
        <UseSignal signal={executions.heardChanged}>{() => (executions.isHeard ? null : <Unheard />)}</UseSignal>
        {live.error !== null && groups !== null && <Banner text={live.error} again={live.again} />}
      </header>

      <Triggers isVisible={isVisible} now={now} />
      <div className="pf-scroll" aria-busy={live.isLoading}>
        {groups === null ? (
          <Nothing live={live} />
        ) : shown.length === 0 && offset === 0 ? (
          <Empty
            isFiltered={isFiltered}
            clear={() => {
              setFilter('all');
              setText('');
              setOffset(0);
            }}
          />
        ) : (
          groups.map(group => (
            <Group
              key={group.title}
              group={group}
              now={now}
              open={open}
              toggle={id => setOpen(old => toggled(old, id))}
              choiceOf={each => (chosen === null ? null : choiceOf(each, chosen, setChosen))}
            />
          ))
        )}
      </div>

      {chosen !== null && (
        <Bulk chosen={shown.filter(each => chosen.has(each.id))} onDone={() => setChosen(new Set())} />
      )}
      {paged && (
        <Pages
          offset={offset}
          count={paged.page.executions.length}
          isLast={paged.page.next_offset === null}
          go={setOffset}
        />
      )}
    </>
  );
}

/** Request the groups with one of these states, or all groups. Only the last one is long, and paged. */
async function askForGroups(
  executions: IExecutions,
  states: readonly State[],
  text: string,
  offset: number
): Promise<IGroups> {
  const wanted = GROUPS.map(group => ({
    ...group,
    states: group.states.filter(each => states.length === 0 || states.includes(each))
  })).filter(group => group.states.length > 0);
  const ask = async (group: IGroup): Promise<IGroups[number]> => ({
    ...group,
    page: await executions.api.list({
      states: group.states,
      text,
      limit: group.isPaged ? PER_PAGE : MOST,
      offset: group.isPaged ? offset : 0
    })
  });
  return Promise.all(wanted.map(ask));
}

/** Show progress as the server reports it; after other changes, request the groups again. */
function concerns(changes: IChange[], patch: ILive<IGroups>['patch']): boolean {
  const progress = new Map(changes.map(each => [each.execution, each.cells]));
  patch(groups =>
    groups.map(group => ({
      ...group,
      page: {
        ...group.page,
        executions: group.page.executions.map(each => ({ ...each, cells: progress.get(each.id) ?? each.cells }))
      }
    }))
  );
  return changes.some(each => each.what.length > 0);
}

function choiceOf(
  execution: IExecution,
  chosen: ReadonlySet<string>,
  setChosen: (chosen: ReadonlySet<string>) => void
): { isChosen: boolean; toggle: () => void } | null {
  // A question with a form needs its own answer.
  if (!execution.suspended.some(each => asksSomebody(each) && each.form === null && !each.refusals.resume)) {
    return null;
  }
  return { isChosen: chosen.has(execution.id), toggle: () => setChosen(toggled(chosen, execution.id)) };
}

/** Add an element to a set, or remove it. */
function toggled(all: ReadonlySet<string>, one: string): ReadonlySet<string> {
  const others = [...all].filter(each => each !== one);
  return new Set(all.has(one) ? others : [...others, one]);
}

/** A text after typing has paused. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = window.setTimeout(() => setSettled(text), 200);
    return () => window.clearTimeout(timer);
  }, [text]);
  return settled;
}

function Nothing({ live }: { live: ILive<IGroups> }): React.JSX.Element {
  if (live.error !== null) {
    return (
      <div className="pf-empty" role="alert">
        <p className="pf-empty-title">Executions cannot be shown</p>
        <p>{live.error}</p>
        <button type="button" className="jp-mod-styled jp-mod-accept" onClick={live.again}>
          Try again
        </button>
      </div>
    );
  }
  return (
    <div className="pf-list" role="status" aria-label="Loading executions">
      {[1, 2, 3].map(n => (
        <div key={n} className="pf-card pf-ghost" aria-hidden="true">
          <span />
          <span />
          <span />
        </div>
      ))}
    </div>
  );
}

function Empty({ isFiltered, clear }: { isFiltered: boolean; clear: () => void }): React.JSX.Element {
  const { commands } = usePanel();
  if (isFiltered) {
    return (
      <div className="pf-empty">
        <p className="pf-empty-title">No execution matches</p>
        <button type="button" className="pf-text-button" onClick={clear}>
          Show all
        </button>
      </div>
    );
  }
  const canRun = commands.isEnabled(Commands.run);
  return (
    <div className="pf-empty">
      <p className="pf-empty-title">Nothing has run yet</p>
      <p>
        A notebook run as a workflow may pause, wait for an answer, and continue in a new kernel. It shows here, with
        what it waits for.
      </p>
      <button
        type="button"
        className="jp-mod-styled jp-mod-accept"
        disabled={!canRun}
        onClick={() => void commands.execute(Commands.run)}
      >
        Run as workflow …
      </button>
      {!canRun && <p className="pf-quiet">Open a notebook first.</p>}
    </div>
  );
}

function Unheard(): React.JSX.Element {
  return (
    <p className="pf-banner" role="status">
      The server is not heard. This is what was last known; it catches up by itself.
    </p>
  );
}

function Banner({ text, again }: { text: string; again: () => void }): React.JSX.Element {
  return (
    <p className="pf-banner" role="alert">
      {text}{' '}
      <button type="button" className="pf-text-button" onClick={again}>
        Try again
      </button>
    </p>
  );
}

interface IPages {
  offset: number;
  count: number;
  isLast: boolean;
  go: (offset: number) => void;
}

function Pages({ offset, count, isLast, go }: IPages): React.JSX.Element | null {
  if (offset === 0 && isLast) {
    return null;
  }
  return (
    <nav className="pf-pages" aria-label="Pages">
      <button
        type="button"
        className="pf-text-button"
        disabled={offset === 0}
        onClick={() => go(Math.max(0, offset - PER_PAGE))}
      >
        <caretLeftIcon.react tag="span" /> Newer
      </button>
      <span role="status">{count > 0 ? `${offset + 1}–${offset + count}` : '–'}</span>
      <button type="button" className="pf-text-button" disabled={isLast} onClick={() => go(offset + PER_PAGE)}>
        Older <caretRightIcon.react tag="span" />
      </button>
    </nav>
  );
}
