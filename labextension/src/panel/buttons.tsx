/** The buttons for an execution that are always available. */

import {
  copyIcon,
  editIcon,
  LabIcon,
  linkIcon,
  listIcon,
  notebookIcon,
  refreshIcon,
  stopIcon
} from '@jupyterlab/ui-components';
import { Notification } from '@jupyterlab/apputils';
import React, { useState } from 'react';

import { sentence } from '../actions';
import { IExecution } from '../api';
import { asksSomebody, canBeAnswered, ENDED, nameOf } from '../words';
import { usePanel } from './context';

interface IProps {
  execution: IExecution;
  /** Whether these buttons are in the detail view. */
  isDetailed?: boolean;
}

export function Buttons({ execution, isDetailed = false }: IProps): React.JSX.Element {
  const { actions, show } = usePanel();
  const [isBusy, setBusy] = useState(false);
  const { id, notebook, output, state } = execution;
  const name = nameOf(notebook);
  const asked = execution.suspended.find(each => asksSomebody(each) && each.approval_url !== null);

  const attempt = (act: Promise<unknown>): void => {
    setBusy(true);
    act
      .catch((error: unknown) => {
        Notification.error(`${name}: ${sentence(error)}`, { autoClose: 8000 });
      })
      .finally(() => setBusy(false));
  };
  return (
    <span className="pf-buttons">
      {asked && <Icon icon={linkIcon} label="Copy approval link" onClick={() => void actions.copyLink(asked)} />}
      <Icon
        icon={output === null ? copyIcon : notebookIcon}
        label={output === null ? 'Save a copy of the executed notebook and open it' : 'Open output notebook'}
        onClick={() => void actions.open(execution)}
      />
      {!isDetailed && <Icon icon={listIcon} label="Details" onClick={() => show(id)} />}
      {state === 'failed' && (
        <Icon
          icon={refreshIcon}
          label="Retry from the last checkpoint"
          isBusy={isBusy}
          onClick={() => attempt(actions.api.retry(id))}
        />
      )}
      {ENDED.includes(state) && actions.canOpenSource(execution) && (
        <Icon
          icon={editIcon}
          label="Retry with the notebook as it is now"
          isBusy={isBusy}
          onClick={() => attempt(actions.retryEdited(execution))}
        />
      )}
      {!ENDED.includes(state) &&
        !execution.suspended.some(each => canBeAnswered(each) && each.allow.includes('cancel')) && (
          <Icon icon={stopIcon} label={CANCEL} isBusy={isBusy} onClick={() => attempt(actions.cancel(id, CANCEL))} />
        )}
    </span>
  );
}

const CANCEL = 'Cancel the run';

interface IIcon {
  icon: LabIcon;
  label: string;
  isBusy?: boolean;
  onClick: () => void;
}

function Icon({ icon, label, isBusy = false, onClick }: IIcon): React.JSX.Element {
  return (
    <button
      type="button"
      className="pf-icon-button"
      title={label}
      aria-label={label}
      aria-disabled={isBusy}
      onClick={isBusy ? undefined : onClick}
    >
      <icon.react tag="span" />
    </button>
  );
}
