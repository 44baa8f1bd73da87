/** Keeps the focus in the panel when the focused element disappears, because its row moves, is answered, or ends. */

import { IDisposable } from '@lumino/disposable';

const FOCUSABLE = 'button, input, select, textarea, summary, a[href], [tabindex="0"]';
const ROW = '.pf-name[aria-expanded]';

/** The focused element and its place. */
interface IPlace {
  element: HTMLElement;
  /** The elements that contain it, innermost first. */
  around: HTMLElement[];
  /** The execution that it belongs to, if any. */
  execution: string | undefined;
  label: string;
  /** Index of its row in the list, or -1. */
  row: number;
}

export class FocusKeeper implements IDisposable {
  constructor(private readonly _node: HTMLElement) {
    document.addEventListener('focusin', this);
    document.addEventListener('pointerdown', this);
    this._observer.observe(_node, {
      childList: true,
      subtree: true,
      attributes: true,
      attributeFilter: ['hidden', 'disabled']
    });
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    this._observer.disconnect();
    document.removeEventListener('focusin', this);
    document.removeEventListener('pointerdown', this);
  }

  /** Focus the panel as soon as it shows a focusable element. */
  take(): void {
    this._isWanted = !this._node.contains(document.activeElement);
    this._look();
  }

  handleEvent(event: Event): void {
    const { target } = event;
    if (!(target instanceof HTMLElement) || target.closest('.jp-Dialog')) {
      // A dialog restores the focus when it closes.
      return;
    }
    if (!this._node.contains(target)) {
      this._place = null;
      this._isWanted = false;
    } else if (event.type === 'focusin') {
      this._place = this._placeOf(target);
    }
  }

  private _look(): void {
    const place = this._place;
    if (place !== null && isUsable(place.element)) {
      // Its neighbours may have changed.
      this._place = this._placeOf(place.element);
    }
    const active = document.activeElement;
    const isLost = place !== null && !isUsable(place.element) && (active === document.body || active === place.element);
    if (isLost || this._isWanted) {
      const next = isLost ? this._after(place) : this._first();
      if (next) {
        this._isWanted = false;
        next.focus();
      }
    }
  }

  private _placeOf(element: HTMLElement): IPlace {
    const around: HTMLElement[] = [];
    for (let each = element.parentElement; each && this._node.contains(each); each = each.parentElement) {
      around.push(each);
    }
    const its = element.closest<HTMLElement>('[data-pf-id]');
    const page = element.closest('.pf-page');
    return {
      element,
      around,
      execution: (its ?? page?.querySelector<HTMLElement>('.pf-details'))?.dataset['pfId'],
      label: labelOf(element),
      row: this._usable(ROW).findIndex(each => its?.contains(each))
    };
  }

  /** The element to focus instead of one that disappeared: the same in another place, its row, or its neighbour. */
  private _after({ around, execution, label, row }: IPlace): HTMLElement | undefined {
    const its = this._usable(FOCUSABLE).filter(
      each => execution !== undefined && each.closest<HTMLElement>('[data-pf-id]')?.dataset['pfId'] === execution
    );
    const rows = this._usable(ROW);
    const near = around.find(each => usableIn(each, FOCUSABLE).length > 0);
    return (
      its.find(each => label !== '' && labelOf(each) === label) ??
      its.find(each => each.matches(ROW)) ??
      (row < 0 ? undefined : rows[Math.min(row, rows.length - 1)]) ??
      (near && usableIn(near, FOCUSABLE)[0])
    );
  }

  private _first(): HTMLElement | undefined {
    return this._usable('[type=search]')[0] ?? this._usable(FOCUSABLE)[0];
  }

  private _usable(selector: string): HTMLElement[] {
    return usableIn(this._node, selector);
  }

  private _place: IPlace | null = null;
  private _isWanted = false;
  private _isDisposed = false;
  private readonly _observer = new MutationObserver(() => this._look());
}

function usableIn(node: HTMLElement, selector: string): HTMLElement[] {
  return [...node.querySelectorAll<HTMLElement>(selector)].filter(isUsable);
}

/** Whether it is focusable. */
function isUsable(element: HTMLElement): boolean {
  return element.isConnected && !element.matches(':disabled') && element.getClientRects().length > 0;
}

function labelOf(element: HTMLElement): string {
  return element.getAttribute('aria-label') ?? element.getAttribute('name') ?? element.textContent?.trim() ?? '';
}
