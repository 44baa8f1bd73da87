/** The plugins of pauseflow_nb, one for each feature. */

import attention from './attention';
import badges from './notebook/badges';
import executions from './plugin';
import follow from './notebook/follow';
import goOn from './notebook/goon';
import hint from './notebook/hint';
import panel from './panel/plugin';
import run from './notebook/run';

export default [executions, panel, run, badges, follow, goOn, hint, attention];
