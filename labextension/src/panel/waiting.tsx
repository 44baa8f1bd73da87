/** What an execution waits for: the question, the evidence, the answer, and what happens without one. */

import React, { useEffect, useMemo, useRef, useState } from 'react';

import { sentence } from '../actions';
import { IExecution, IShown, ISuspension, Refused } from '../api';
import { EMPTY, Entries, entriesOf, IControl, Problems, sizeOf } from '../form/draft';
import { Form } from '../form/form';
import { asksSomebody, canBeAnswered, consequences, question, silence, startOf } from '../words';
import { usePanel } from './context';
import { Drift } from './drift';
import { Markdown } from './markdown';

interface IProps {
  suspension: ISuspension;
  execution: IExecution;
  now: number;
  /** Whether a long form is shown at once. */
  isDetailed?: boolean;
}

export function Waiting({ suspension, execution, now, isDetailed = false }: IProps): React.JSX.Element {
  const { actions } = usePanel();
  const { approvals, message, data_as_text: shown } = suspension;
  const silent = silence(suspension, now);
  return (
    <section className="pf-waiting" aria-label={question(suspension)}>
      <p className="pf-question" dir="auto">
        {question(suspension)}
      </p>
      {message && <Markdown text={message} />}
      {suspension.drift.map(each => (
        <Drift key={each.name} drift={each} />
      ))}
      <Data shown={shown} />
      {asksSomebody(suspension) && (
        <p>
          <button type="button" className="pf-text-button" onClick={() => void actions.openOutputs(suspension)}>
            See the outputs so far
          </button>
        </p>
      )}
      {canBeAnswered(suspension) && <Answer suspension={suspension} isDetailed={isDetailed} />}
      <div className="pf-quiet">
        {canBeAnswered(suspension) && <p dir="auto">{consequences(suspension)}</p>}
        {silent && <p>{silent}</p>}
        {approvals.needed > 1 && (
          <p>
            {approvals.given.length} of {approvals.needed} people have approved.
          </p>
        )}
        <p className="pf-wrap">{startOf(execution, now)}</p>
      </div>
    </section>
  );
}

function Answer({ suspension, isDetailed }: { suspension: ISuspension; isDetailed: boolean }): React.JSX.Element {
  const { actions } = usePanel();
  const place = useRef<HTMLFormElement>(null);
  const { form, labels, allow, refusals } = suspension;
  const control = useMemo(() => form ?? FREE, [form]);
  const isLong = form !== null && sizeOf(form) > INLINE;
  const [isOpen, setOpen] = useState(form !== null && (isDetailed || !isLong));
  const [draft, setDraft] = useState(EMPTY);
  const [problems, setProblems] = useState<Problems>({});
  const [failure, setFailure] = useState('');
  const [isBusy, setBusy] = useState(false);
  const reasons = [...new Set(Object.values(refusals).filter(each => each !== null))];

  useEffect(() => {
    place.current?.querySelector<HTMLElement>('[aria-invalid]')?.focus();
  }, [problems]);

  const send = async (entries: Entries): Promise<void> => {
    // The buttons are not disabled meanwhile: who has pressed one keeps the focus there.
    if (isBusy) {
      return;
    }
    setBusy(true);
    setFailure('');
    setProblems({});
    try {
      await actions.api.resume(suspension, entries);
    } catch (error) {
      const found = error instanceof Refused ? error.problems : {};
      const count = Object.keys(found).length;
      setProblems(found);
      setFailure(
        count === 0 ? sentence(error) : count === 1 ? 'One entry needs a change.' : `${count} entries need a change.`
      );
    } finally {
      setBusy(false);
    }
  };
  const ask = async (act: () => Promise<void>): Promise<void> => {
    if (isBusy) {
      return;
    }
    setBusy(true);
    setFailure('');
    try {
      await act();
    } catch (error) {
      setFailure(sentence(error));
    } finally {
      setBusy(false);
    }
  };
  const unfold = (words: string): React.JSX.Element => (
    <button
      key="unfold"
      type="button"
      className="pf-text-button"
      aria-expanded={isOpen}
      onClick={() => setOpen(!isOpen)}
    >
      {isOpen ? (form === null ? 'Without a comment' : 'Hide the form') : words}
    </button>
  );
  const other = (action: 'send_back' | 'cancel', tone: string, act: () => Promise<void>): React.JSX.Element => (
    <button
      type="button"
      className={`jp-mod-styled ${tone}`}
      aria-disabled={isBusy}
      disabled={Boolean(refusals[action])}
      title={refusals[action] ?? ''}
      onClick={() => void ask(act)}
    >
      {labels[action]}
    </button>
  );

  return (
    <form
      ref={place}
      className="pf-answer"
      noValidate
      onSubmit={event => {
        event.preventDefault();
        void send(isOpen ? entriesOf(draft, control) : {});
      }}
    >
      {failure && (
        <p className="pf-problem" role="alert">
          {failure}
        </p>
      )}
      {isOpen && <Form control={control} draft={draft} problems={problems} onChange={setDraft} />}
      <div className="pf-row pf-wrap">
        {form !== null && !isOpen ? (
          unfold('Answer …')
        ) : (
          // Its key keeps React from making it of the button that opened the form: that click would send the form.
          <button
            key="submit"
            type="submit"
            className="jp-mod-styled jp-mod-accept"
            aria-disabled={isBusy}
            disabled={Boolean(refusals.resume)}
            title={refusals.resume ?? ''}
          >
            {labels.resume}
          </button>
        )}
        {allow.includes('send_back') &&
          other('send_back', '', () => actions.sendBack(suspension, labels.send_back ?? 'Send back'))}
        {allow.includes('cancel') &&
          other('cancel', 'jp-mod-warn', () => actions.cancel(suspension.execution, labels.cancel))}
        {form === null
          ? asksSomebody(suspension) && unfold('Add a comment …')
          : isOpen && isLong && !isDetailed && unfold('')}
      </div>
      {reasons.map(reason => (
        <p key={reason} className="pf-quiet">
          {reason}
        </p>
      ))}
    </form>
  );
}

/** More inputs than this are shown only when somebody wants to answer. */
const INLINE = 2;

const FIELD = { kind: 'long', description: '', is_required: false, texts: [], options: [], fields: [], row: null };

/** The answer to a question without a schema. */
const FREE: IControl = {
  ...FIELD,
  name: 'answer',
  kind: 'object',
  label: '',
  hints: {},
  fields: [
    { ...FIELD, name: 'comment', label: 'Comment', hints: {} },
    {
      ...FIELD,
      name: 'data',
      kind: 'json',
      label: 'Data as JSON',
      description: 'The notebook finds it in steps.NAME.data.',
      hints: { placeholder: '{"amount": 3}' }
    }
  ]
};

/** What the step shows to the person who decides: a small table if it is one. */
function Data({ shown: { rows, text } }: { shown: IShown }): React.JSX.Element | null {
  if (rows.length > 0) {
    return (
      <dl className="pf-data">
        {rows.map(([name, value], n) => (
          <React.Fragment key={n}>
            <dt dir="auto">{name}</dt>
            <dd dir="auto">{value}</dd>
          </React.Fragment>
        ))}
      </dl>
    );
  }
  return text === null ? null : (
    <pre className="pf-code pf-wide" tabIndex={0} dir="auto">
      {text}
    </pre>
  );
}
