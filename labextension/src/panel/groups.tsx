/** Groups of executions: those that need an answer, those that run, and those that have ended. */

import React from 'react';

import { IExecution, IPage, State } from '../api';
import { ASKING, ENDED } from '../words';
import { Card, IChoice } from './card';

export interface IGroup {
  title: string;
  states: readonly State[];
  /** Whether it is paged; other groups are short and shown completely. */
  isPaged: boolean;
}

export const GROUPS: readonly IGroup[] = [
  { title: 'Needs you', states: ASKING, isPaged: false },
  { title: 'Running', states: ['queued', 'running', 'waiting'], isPaged: false },
  { title: 'Done', states: ENDED, isPaged: true }
];

/** The server's data of each group. */
export type IGroups = (IGroup & { page: IPage })[];

interface IProps {
  group: IGroups[number];
  now: number;
  /** Ids of the expanded rows. */
  open: ReadonlySet<string>;
  toggle: (id: string) => void;
  choiceOf: (execution: IExecution) => IChoice | null;
}

export function Group({ group, now, open, toggle, choiceOf }: IProps): React.JSX.Element | null {
  const { executions, next_offset } = group.page;
  if (executions.length === 0) {
    return null;
  }
  const isMore = next_offset !== null && !group.isPaged;
  return (
    <section className="pf-group-of-rows" aria-label={group.title}>
      <h3>
        {group.title}
        {!group.isPaged && <span className="pf-quiet">{isMore ? `${executions.length}+` : executions.length}</span>}
      </h3>
      <ul className="pf-list" onKeyDown={moveFocus}>
        {executions.map(each => (
          <Card
            key={each.id}
            execution={each}
            now={now}
            choice={choiceOf(each)}
            isOpen={open.has(each.id)}
            toggle={() => toggle(each.id)}
          />
        ))}
      </ul>
      {isMore && <p className="pf-quiet pf-more">Only the newest are shown. Search to find the others.</p>}
    </section>
  );
}

/** Moves between rows with the arrow keys. */
function moveFocus(event: React.KeyboardEvent): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step === undefined || !(event.target instanceof HTMLElement) || !event.target.matches('.pf-name')) {
    return;
  }
  const rows = [...(event.target.closest('.pf-scroll')?.querySelectorAll<HTMLElement>('.pf-name') ?? [])];
  const next = rows[rows.indexOf(event.target) + step];
  if (next) {
    event.preventDefault();
    next.focus();
  }
}
