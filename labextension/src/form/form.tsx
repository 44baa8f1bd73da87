/** Fields as they are seen: label, description, input, and what is wrong beside it. */

import { addIcon, closeIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { own } from '../own';
import { below, Draft, draftOf, IField, mustBeFilled, Problems, textOf } from './fields';

interface IProps {
  field: IField;
  draft: Draft;
  problems: Problems;
  onChange: (draft: Draft) => void;
  path?: string;
  /** Makes ids of its own on a page with several forms. */
  prefix: string;
}

export function Form(props: IProps): React.JSX.Element {
  const { field, path = '' } = props;
  if (field.kind === 'object') {
    return <Group {...props} path={path} />;
  }
  if (field.kind === 'list') {
    return <List {...props} path={path} />;
  }
  return <Single {...props} path={path} />;
}

type Placed = IProps & { path: string };

function Group({ field, draft, problems, onChange, path, prefix }: Placed): React.JSX.Element {
  const drafts = draft as { [name: string]: Draft };
  const fields = Object.entries(field.fields).map(([name, each]) => (
    <Form
      key={name}
      field={each}
      draft={own(drafts, name) ?? draftOf(each)}
      problems={problems}
      onChange={changed => onChange({ ...drafts, [name]: changed })}
      path={below(path, name)}
      prefix={prefix}
    />
  ));
  if (!path) {
    return (
      <div className="pf-form">
        {field.description && <p className="pf-hint">{field.description}</p>}
        {fields}
        <Problem path="" problems={problems} prefix={prefix} />
      </div>
    );
  }
  return (
    <fieldset className="pf-group">
      <legend>
        <Label field={field} />
      </legend>
      {field.description && <p className="pf-hint">{field.description}</p>}
      {fields}
      <Problem path={path} problems={problems} prefix={prefix} />
    </fieldset>
  );
}

function List({ field, draft, problems, onChange, path, prefix }: Placed): React.JSX.Element {
  const drafts = draft as Draft[];
  const item = field.item as IField;
  return (
    <fieldset className="pf-group">
      <legend>
        <Label field={field} />
      </legend>
      {field.description && <p className="pf-hint">{field.description}</p>}
      {drafts.map((each, n) => (
        <div className="pf-item" key={n}>
          <Form
            field={{ ...item, label: item.label || `${field.label} ${n + 1}`, isRequired: false }}
            draft={each}
            problems={problems}
            onChange={changed => onChange(drafts.map((old, m) => (m === n ? changed : old)))}
            path={below(path, n)}
            prefix={prefix}
          />
          <button
            type="button"
            className="pf-icon-button"
            aria-label={`Remove ${field.label} ${n + 1}`}
            title="Remove"
            onClick={() => onChange(drafts.filter((_, m) => m !== n))}
          >
            <closeIcon.react tag="span" />
          </button>
        </div>
      ))}
      <button type="button" className="pf-text-button" onClick={() => onChange([...drafts, draftOf(item)])}>
        <addIcon.react tag="span" /> Add
      </button>
      <Problem path={path} problems={problems} prefix={prefix} />
    </fieldset>
  );
}

function Single({ field, draft, problems, onChange, path, prefix }: Placed): React.JSX.Element {
  const id = idOf(prefix, path);
  const problem = problems[path];
  const shared = {
    id,
    'aria-invalid': problem ? true : undefined,
    'aria-required': mustBeFilled(field) || undefined,
    'aria-describedby':
      [problem ? `${id}-problem` : '', field.description ? `${id}-hint` : ''].join(' ').trim() || undefined
  };
  if (field.kind === 'boolean') {
    return (
      <div className="pf-field">
        <label className="pf-check">
          <input
            {...shared}
            type="checkbox"
            checked={draft === true}
            onChange={event => onChange(event.target.checked)}
          />
          <Label field={field} />
        </label>
        <Hint id={id} field={field} />
        <Problem path={path} problems={problems} prefix={prefix} />
      </div>
    );
  }
  return (
    <div className="pf-field">
      <label htmlFor={id}>
        <Label field={field} />
      </label>
      <Hint id={id} field={field} />
      <Input field={field} text={textOf(draft)} shared={shared} onChange={onChange} />
      <Problem path={path} problems={problems} prefix={prefix} />
    </div>
  );
}

interface IInput {
  field: IField;
  text: string;
  shared: React.HTMLAttributes<HTMLElement>;
  onChange: (text: string) => void;
}

function Input({ field, text, shared, onChange }: IInput): React.JSX.Element {
  if (field.kind === 'choice') {
    return (
      <select {...shared} className="jp-mod-styled" value={text} onChange={event => onChange(event.target.value)}>
        {(!mustBeFilled(field) || text === '') && <option value="">–</option>}
        {field.choices.map(choice => (
          <option key={JSON.stringify(choice)} value={JSON.stringify(choice)}>
            {typeof choice === 'string' ? choice : JSON.stringify(choice)}
          </option>
        ))}
      </select>
    );
  }
  if (field.kind === 'json' || field.kind === 'long') {
    return (
      <textarea
        {...shared}
        className={`jp-mod-styled ${field.kind === 'json' ? 'pf-code' : ''}`}
        rows={3}
        spellCheck={field.kind === 'long'}
        value={text}
        onChange={event => onChange(event.target.value)}
      />
    );
  }
  const types: Partial<Record<typeof field.kind, string>> = { date: 'date', datetime: 'datetime-local' };
  return (
    <input
      {...shared}
      className="jp-mod-styled"
      type={types[field.kind] ?? 'text'}
      inputMode={field.kind === 'number' ? 'decimal' : field.kind === 'integer' ? 'numeric' : undefined}
      value={text}
      onChange={event => onChange(event.target.value)}
    />
  );
}

function Label({ field }: { field: IField }): React.JSX.Element {
  return (
    <span className="pf-label">
      <bdi>{field.label}</bdi>
      {mustBeFilled(field) && field.label && <abbr title="required">*</abbr>}
    </span>
  );
}

function Hint({ id, field }: { id: string; field: IField }): React.JSX.Element | null {
  return field.description ? (
    <span id={`${id}-hint`} className="pf-hint">
      {field.description}
    </span>
  ) : null;
}

function Problem({
  path,
  problems,
  prefix
}: {
  path: string;
  problems: Problems;
  prefix: string;
}): React.JSX.Element | null {
  const problem = problems[path];
  return problem ? (
    <span id={`${idOf(prefix, path)}-problem`} className="pf-problem" role="alert">
      {problem}
    </span>
  ) : null;
}

/** An id for the input; without spaces, at which lists of ids are taken apart. */
function idOf(prefix: string, path: string): string {
  return `${prefix}-${encodeURIComponent(path) || 'value'}`;
}
