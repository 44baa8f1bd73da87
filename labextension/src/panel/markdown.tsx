/** Markdown as JupyterLab renders it, sanitised: it comes from a notebook. */

import { MimeModel } from '@jupyterlab/rendermime';
import React, { useEffect, useRef } from 'react';

import { usePanel } from './context';

const MIME = 'text/markdown';

export function Markdown({ text }: { text: string }): React.JSX.Element {
  const { rendermime } = usePanel();
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const node = place.current;
    if (rendermime === null || node === null) {
      return undefined;
    }
    const renderer = rendermime.createRenderer(MIME);
    // Not attached as a widget: React removes the node before the widget could be detached.
    node.replaceChildren(renderer.node);
    void renderer.renderModel(new MimeModel({ data: { [MIME]: text }, trusted: false }));
    return () => renderer.dispose();
  }, [rendermime, text]);
  return <div ref={place} className="pf-message pf-wide" dir="auto" tabIndex={0} />;
}
