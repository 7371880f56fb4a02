import { expect, it } from 'vitest';
import { MAX_ANNOUNCEMENTS } from '../../../shared/wire/announcement-limits.ts';
import { Announcements } from '../../../worker/discovery.ts';

it('a search keeps a limited number of announcements, each of them once', () => {
  const found = new Announcements();
  for (let i = 0; i < 3 * MAX_ANNOUNCEMENTS; i++)
    found.add({
      coordinator: 'wss://10.77.0.1:29400',
      run: `run-${i >> 1}`,
      protocol: 3,
      version: '0.2.0',
      ca: undefined,
    });
  expect(new Set(found.all.map(({ run }) => run)).size).toBe(MAX_ANNOUNCEMENTS);
  expect(found.all.length).toBe(MAX_ANNOUNCEMENTS);
});
