import { expect, test } from 'vitest';

import { refusal } from '../src/api';

test('an answer of ours is shown in its own words', () => {
  expect(refusal(404, { error: 'no execution with this id' }).message).toBe('no execution with this id');
  expect(refusal(500, null).message).toBe('The server answers 500.');
});

test("Jupyter's own 404 means that the server extension is not loaded, and says what to do", () => {
  for (const said of [null, { message: 'Not Found' }]) {
    expect(refusal(404, said).message).toContain('jupyter server extension enable pauseflow_nb');
  }
});
