/** What an execution waits for, until when, and the answer. */

import React, { useId, useMemo, useState } from 'react';

import { JSONValue } from '@lumino/coreutils';

import { sentence } from '../actions';
import { ISuspension, Refused } from '../api';
import { Draft, draftOf, formOf, IField, parseJson, placed, Problems, read, textOf } from '../form/fields';
import { Form } from '../form/form';
import { afterwards, asksSomebody, at, canBeAnswered, countdown, question, resumeLabel } from '../words';
import { usePanel } from './context';

interface IProps {
  suspension: ISuspension;
  now: number;
}

export function Waiting({ suspension, now }: IProps): React.JSX.Element {
  const { approvals, deadline, message, data, schema } = suspension;
  const [isOpen, setOpen] = useState(schema !== null);
  return (
    <section className="pf-waiting" aria-label={question(suspension)}>
      <p className="pf-question" dir="auto">
        {question(suspension)}
      </p>
      {message && (
        <p className="pf-message" dir="auto">
          {message}
        </p>
      )}
      {data !== null && <Data value={data} />}
      {deadline !== null && (
        <p className="pf-quiet" title={at(deadline)}>
          <time dateTime={deadline} role="timer">
            {countdown(deadline, now)}
          </time>
          , {afterwards(suspension)}
        </p>
      )}
      {approvals.needed > 1 && (
        <p className="pf-quiet">
          {approvals.given.length} of {approvals.needed} have approved
        </p>
      )}
      {canBeAnswered(suspension) && <Answer suspension={suspension} isOpen={isOpen} setOpen={setOpen} />}
    </section>
  );
}

interface IAnswer {
  suspension: ISuspension;
  isOpen: boolean;
  setOpen: (isOpen: boolean) => void;
}

function Answer({ suspension, isOpen, setOpen }: IAnswer): React.JSX.Element {
  const { actions } = usePanel();
  const prefix = useId();
  const { schema } = suspension;
  const form = useMemo(() => (schema === null ? FREE : formOf(schema)), [schema]);
  const [draft, setDraft] = useState<Draft>(() => draftOf(form));
  const [problems, setProblems] = useState<Problems>({});
  const [failure, setFailure] = useState('');
  const [isBusy, setBusy] = useState(false);

  const send = async (data?: JSONValue): Promise<void> => {
    setBusy(true);
    setFailure('');
    try {
      await actions.api.resume(suspension, data);
      setProblems({});
    } catch (error) {
      if (error instanceof Refused && Object.keys(error.fields).length > 0) {
        setProblems(placed(form, error.fields));
      } else {
        setFailure(sentence(error));
      }
    } finally {
      setBusy(false);
    }
  };
  const answer = (): void => {
    if (!isOpen) {
      void send();
      return;
    }
    const reading = schema === null ? readFree(textOf(draft)) : read(form, draft);
    setProblems(reading.problems);
    if (Object.keys(reading.problems).length === 0) {
      void send(reading.value);
    }
  };

  return (
    <form
      className="pf-answer"
      noValidate
      onSubmit={event => {
        event.preventDefault();
        answer();
      }}
    >
      {isOpen && <Form field={form} draft={draft} problems={problems} onChange={setDraft} prefix={prefix} />}
      {failure && (
        <p className="pf-problem" role="alert">
          {failure}
        </p>
      )}
      <div className="pf-row">
        <button type="submit" className="jp-mod-styled jp-mod-accept" disabled={isBusy}>
          {resumeLabel(suspension)}
        </button>
        {schema === null && asksSomebody(suspension) && (
          <button
            type="button"
            className="pf-text-button"
            aria-expanded={isOpen}
            title="Send JSON with the answer; the notebook finds it in steps.NAME.data"
            onClick={() => setOpen(!isOpen)}
          >
            {isOpen ? 'Without data' : 'With data …'}
          </button>
        )}
      </div>
    </form>
  );
}

/** The answer to a question without a schema: anything, as JSON. */
const FREE: IField = {
  ...formOf({}),
  label: 'Data as JSON',
  description: '',
  isRequired: false
};

function readFree(text: string): { value: JSONValue | undefined; problems: Problems } {
  if (text.trim() === '') {
    return { value: undefined, problems: {} };
  }
  try {
    return { value: parseJson(text), problems: {} };
  } catch (error) {
    return { value: undefined, problems: { '': (error as Error).message } };
  }
}

/** What the step shows to whoever decides: a small table if it is one. */
function Data({ value }: { value: JSONValue }): React.JSX.Element {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return (
      <dl className="pf-data">
        {Object.entries(value).map(([name, each]) => (
          <React.Fragment key={name}>
            <dt dir="auto">{name}</dt>
            <dd dir="auto">{typeof each === 'string' ? each : JSON.stringify(each)}</dd>
          </React.Fragment>
        ))}
      </dl>
    );
  }
  return (
    <pre className="pf-code" tabIndex={0} dir="auto">
      {typeof value === 'string' ? value : JSON.stringify(value, null, 2)}
    </pre>
  );
}
