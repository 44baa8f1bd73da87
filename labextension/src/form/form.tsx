/** A form from the server's description: label, description, input and error of each field. */

import { addIcon, closeIcon } from '@jupyterlab/ui-components';
import React, { createContext, useContext, useId } from 'react';

import { addRow, branchOf, exceptionsOf, IControl, IDraft, Problems, removeRow, rowsIn, textsIn, type } from './draft';

interface IForm {
  control: IControl;
  draft: IDraft;
  problems: Problems;
  onChange: (draft: IDraft) => void;
}

interface IShared extends Omit<IForm, 'control'> {
  /** Makes unique ids on a page with several forms. */
  prefix: string;
  exceptions: 'required' | 'optional';
}

const Shared = createContext<IShared | null>(null);

function useShared(): IShared {
  return useContext(Shared) as IShared;
}

/** The outermost control needs no frame. */
export function Form({ control, ...others }: IForm): React.JSX.Element {
  const prefix = useId();
  return (
    <Shared.Provider value={{ ...others, prefix, exceptions: exceptionsOf(control) }}>
      <div className="pf-form">
        {control.kind === 'object' ? <Root control={control} /> : <Field control={control} />}
      </div>
    </Shared.Provider>
  );
}

function Root({ control }: { control: IControl }): React.JSX.Element {
  return (
    <>
      {control.description && <p className="pf-hint">{control.description}</p>}
      <Problem name={control.name} />
      {control.fields.map(each => (
        <Field key={each.name} control={each} />
      ))}
    </>
  );
}

function Field({ control }: { control: IControl }): React.JSX.Element {
  switch (control.kind) {
    case 'object':
      return (
        <Group control={control}>
          {control.fields.map(each => (
            <Field key={each.name} control={each} />
          ))}
        </Group>
      );
    case 'rows':
      return <Rows control={control} />;
    case 'union':
      return <Union control={control} />;
    case 'choices':
      return <Choices control={control} />;
    default:
      return <Single control={control} />;
  }
}

function Group({ control, children }: { control: IControl; children: React.ReactNode }): React.JSX.Element {
  return (
    <fieldset className="pf-group" data-pf-rows={control.kind === 'rows' ? control.name : undefined}>
      <legend>
        <Label control={control} />
      </legend>
      {control.description && <p className="pf-hint">{control.description}</p>}
      {children}
      <Problem name={control.name} />
    </fieldset>
  );
}

function Rows({ control }: { control: IControl }): React.JSX.Element {
  const { draft, onChange } = useShared();
  const rows = rowsIn(draft, control);
  const most = Number(control.hints['most'] ?? Infinity);
  return (
    <Group control={control}>
      {rows.map((row, n) => (
        <div className="pf-item" key={row.name}>
          <Field control={{ ...row, label: `${control.label} ${n + 1}` }} />
          <button
            type="button"
            className="pf-icon-button"
            aria-label={`Remove ${control.label} ${n + 1}`}
            title="Remove"
            onClick={() => onChange(removeRow(draft, control, row))}
          >
            <closeIcon.react tag="span" />
          </button>
        </div>
      ))}
      <button
        type="button"
        className="pf-text-button"
        disabled={rows.length >= most}
        onClick={() => onChange(addRow(draft, control))}
      >
        <addIcon.react tag="span" /> Add
      </button>
    </Group>
  );
}

function Union({ control }: { control: IControl }): React.JSX.Element {
  const { draft } = useShared();
  const branch = branchOf(draft, control);
  return (
    <>
      <Single control={{ ...control, kind: 'choice' }} />
      {branch && <Field control={branch} />}
    </>
  );
}

function Choices({ control }: { control: IControl }): React.JSX.Element {
  const { draft, onChange } = useShared();
  const chosen = textsIn(draft, control);
  return (
    <Group control={control}>
      {control.options.map(([text, label]) => (
        <label className="pf-check" key={text}>
          <input
            type="checkbox"
            name={control.name}
            value={text}
            checked={chosen.includes(text)}
            onChange={event => {
              const others = chosen.filter(each => each !== text);
              onChange(type(draft, control.name, event.target.checked ? [...others, text] : others));
            }}
          />
          <bdi>{label}</bdi>
        </label>
      ))}
    </Group>
  );
}

function Single({ control }: { control: IControl }): React.JSX.Element {
  const { draft, onChange, problems, prefix } = useShared();
  const id = idOf(prefix, control.name);
  const problem = problems[control.name];
  const shared = {
    id,
    name: control.name,
    'aria-invalid': problem ? true : undefined,
    'aria-required': control.is_required || undefined,
    'aria-describedby':
      [problem ? `${id}-problem` : '', control.description ? `${id}-hint` : ''].join(' ').trim() || undefined
  };
  const texts = textsIn(draft, control);
  const write = (changed: string[]): void => onChange(type(draft, control.name, changed));
  const about = (
    <>
      {control.description && (
        <span id={`${id}-hint`} className="pf-hint">
          {control.description}
        </span>
      )}
      <Problem name={control.name} />
    </>
  );
  if (control.kind === 'boolean') {
    return (
      <div className="pf-field">
        <label className="pf-check">
          <input
            {...shared}
            type="checkbox"
            checked={texts.length > 0}
            onChange={event => write(event.target.checked ? ['on'] : [])}
          />
          <Label control={control} />
        </label>
        {about}
      </div>
    );
  }
  return (
    <div className="pf-field">
      <label htmlFor={id}>
        <Label control={control} />
      </label>
      <Input control={control} texts={texts} shared={shared} onChange={write} />
      {about}
    </div>
  );
}

interface IInput {
  control: IControl;
  texts: string[];
  shared: React.InputHTMLAttributes<HTMLElement> & { name: string };
  onChange: (texts: string[]) => void;
}

/** Kinds of text with several lines. */
const LONG = ['long', 'json', 'lines'];

function Input({ control, texts, shared, onChange }: IInput): React.JSX.Element {
  const { kind, hints, options, is_required } = control;
  const text = texts.join('\n');
  const changed = (event: { target: { value: string } }): void => onChange([event.target.value]);
  if (kind === 'choice') {
    const hasBlank = options.some(([each]) => each === '');
    return (
      <select {...shared} className="jp-mod-styled" value={text} onChange={changed}>
        {!hasBlank && (!is_required || text === '') && <option value="">Not chosen</option>}
        {options.map(([each, label]) => (
          <option key={each} value={each}>
            {label}
          </option>
        ))}
      </select>
    );
  }
  if (LONG.includes(kind)) {
    return (
      <textarea
        {...shared}
        className={`jp-mod-styled ${kind === 'json' ? 'pf-code' : ''}`}
        rows={3}
        spellCheck={kind === 'long'}
        placeholder={hints['placeholder'] as string | undefined}
        value={text}
        onChange={changed}
      />
    );
  }
  return (
    <input
      {...shared}
      className="jp-mod-styled"
      type={kind === 'password' ? 'password' : ((hints['type'] as string | undefined) ?? 'text')}
      // Seconds, if there are any.
      step={hints['step'] ?? undefined}
      inputMode={hints['inputmode'] as 'numeric' | 'decimal' | undefined}
      placeholder={hints['placeholder'] as string | undefined}
      value={text}
      onChange={changed}
    />
  );
}

function Label({ control }: { control: IControl }): React.JSX.Element {
  const { exceptions } = useShared();
  const isMarked = !['boolean', 'object', 'rows'].includes(control.kind);
  const isException = control.is_required === (exceptions === 'required');
  return (
    <span className="pf-label">
      <bdi>{control.label}</bdi>
      {control.hints['zone'] && ` (${control.hints['zone']})`}
      {isMarked && isException && <span className="pf-hint"> ({exceptions})</span>}
    </span>
  );
}

function Problem({ name }: { name: string }): React.JSX.Element | null {
  const { problems, prefix } = useShared();
  const problem = problems[name];
  return problem ? (
    <span id={`${idOf(prefix, name)}-problem`} className="pf-problem" data-pf-input={name}>
      {problem}
    </span>
  ) : null;
}

/** An id for the input, without spaces, which separate ids in lists. */
function idOf(prefix: string, name: string): string {
  return `${prefix}-${encodeURIComponent(name)}`;
}
