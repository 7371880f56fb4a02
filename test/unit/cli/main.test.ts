import { expect, onTestFinished, test, vi } from 'vitest';
import { main } from '../../../cli/main.ts';
import { errorTable } from '../../../shared/errors.ts';
import { captured } from '../../fixtures/captured-output.ts';

vi.mock('../../../cli/commands/runs.ts', () => ({ runs: () => new Promise(() => undefined) }));

test("a command that can never settle exits with the code for a bug, not one of Node's", () => {
  const printed = captured();
  const exit = vi.spyOn(process, 'exit').mockImplementation((code) => {
    throw new Error(`exit ${code}`);
  });
  onTestFinished(() => exit.mockRestore());
  void main(['runs']);
  expect(() => process.emit('beforeExit', 0)).toThrow(`exit ${errorTable.UNEXPECTED.exit}`);
  expect(printed.error).toContain('the command can no longer settle');
});
