import { find, make, setAttribute, setText } from './dom.ts';
import type { Link } from './follower.ts';
import {
  capitalized,
  count,
  counted,
  duration,
  loss,
  percent,
  short,
  timeOfDay,
} from './format.ts';
import { smoothSteps, type RunState } from './run-state.ts';

/** The numbers at the top of the page, and the line with the run's state. */
export function mountHeadline(): (state: RunState | undefined, link: Link) => void {
  const field = (id: string) => {
    const element = find(id, HTMLElement);
    return (text: string) => setText(element, text);
  };
  const fields = {
    runId: field('run-id'),
    about: field('about'),
    accuracyName: field('accuracy-name'),
    accuracyAside: field('accuracy-aside'),
    loss: field('loss'),
    lossName: field('loss-name'),
    lossAside: field('loss-aside'),
    step: field('step'),
    stepAside: field('step-aside'),
    epoch: field('epoch'),
    epochAside: field('epoch-aside'),
    time: field('time'),
    timeName: field('time-name'),
    timeAside: field('time-aside'),
    speed: field('speed'),
    speedAside: field('speed-aside'),
  };
  const accuracyField = find('accuracy', HTMLElement);
  const lossField = find('loss', HTMLElement);
  const line = find('state', HTMLElement);
  const progress = find('progress', HTMLProgressElement);
  return (state, link) => {
    const { look, text } = stateLine(state, link);
    setAttribute(line, 'data-state', look);
    setText(line, text);
    if (state === undefined) return;
    const { view, status, curve, evaluations, tested } = state;
    // The test at the end of a run with a validation set is its result.
    const set = tested === undefined ? view.evaluatedSet : 'test';
    const [step, evaluatedLoss, evaluatedAccuracy] = tested ?? evaluations.at(-1) ?? [];
    const isEvaluated = step !== undefined;
    const accuracy = isEvaluated ? evaluatedAccuracy : curve.lastSmoothAccuracy;
    fields.runId(view.run);
    fields.about(
      `version ${view.version}, started ` +
        `${timeOfDay(view.started)}${view.term > 1 ? `, term ${view.term}` : ''}`,
    );
    showShare(accuracyField, percent(accuracy));
    fields.loss(loss(isEvaluated ? evaluatedLoss : curve.lastSmoothLoss));
    for (const large of [accuracyField, lossField])
      large.classList.toggle('none', accuracy === undefined);
    const name = isEvaluated ? capitalized(set) : 'Training';
    fields.accuracyName(`${name} accuracy`);
    fields.lossName(`${name} loss`);
    fields.accuracyAside(
      isEvaluated ? `training ${percent(curve.lastSmoothAccuracy)}` : smoothed(state),
    );
    fields.lossAside(isEvaluated ? `training ${loss(curve.lastSmoothLoss)}` : smoothed(state));
    fields.step(count(status.step));
    fields.stepAside(`of ${count(view.totalSteps)}${rateText(status.learningRate)}`);
    fields.epoch(count(status.epoch));
    fields.epochAside(`of ${count(view.epochs)}`);
    fields.timeName(state.isOver || link === 'directory' ? 'Time' : 'Time left');
    const isKnown = !state.isOver && link !== 'directory';
    fields.time(duration(isKnown ? status.secondsLeft : status.seconds));
    fields.timeAside(isKnown ? `${duration(status.seconds)} so far` : '');
    fields.speed(short(status.state === 'gathering' ? undefined : curve.lastSmoothSpeed));
    fields.speedAside(workersText(state));
    progress.value = view.totalSteps === 0 ? 0 : status.step / view.totalSteps;
    document.title = accuracy === undefined ? 'mnist-dist' : `${percent(accuracy)} · mnist-dist`;
  };
}

/** Shows the percent sign smaller than the number. */
function showShare(field: HTMLElement, text: string): void {
  if (field.textContent === text) return;
  const [number = '', sign] = text.split(' ');
  field.replaceChildren(number, ...(sign === undefined ? [] : [make('small', {}, ` ${sign}`)]));
}

function rateText(rate: number | undefined): string {
  return rate === undefined ? '' : `, rate ${Number(rate.toPrecision(3))}`;
}

function smoothed(state: RunState): string {
  return state.curve.length === 0 ? '' : `over about ${counted(smoothSteps(state.view), 'step')}`;
}

function workersText({ status, isOver }: RunState): string {
  const present = status.workers.filter(({ state }) => isOver || state !== 'lost').length;
  const lost = status.lost === 0 ? '' : `, ${count(status.lost)} lost so far`;
  return `${counted(present, 'worker')}${lost}`;
}

function stateLine(state: RunState | undefined, link: Link): { look: string; text: string } {
  if (state === undefined) return { look: 'connecting', text: 'Waiting for the coordinator' };
  const { status } = state;
  const why = status.message === '' ? '' : `: ${status.message}`;
  if (link === 'lost')
    return {
      look: 'away',
      text:
        `Connection lost at ${timeOfDay(state.now)}; reconnecting. The values below are from ` +
        `that time.`,
    };
  const from = link === 'directory' ? ' (shown from its directory)' : '';
  switch (status.state) {
    case 'gathering':
      return {
        look: status.problem === '' ? 'gathering' : 'troubled',
        text: waitLine(state) + from,
      };
    case 'running':
      if (link === 'directory')
        return { look: 'running', text: `Running when last recorded${from}` };
      return status.problem === ''
        ? { look: 'running', text: 'Running' }
        : { look: 'troubled', text: `Running, but ${status.problem}` };
    case 'finished':
    case 'interrupted':
    case 'failed':
    case 'diverged': {
      const name = capitalized(status.state);
      return {
        look: status.state,
        text: `${name} after ${counted(status.step, 'step')}${why}${from}`,
      };
    }
  }
}

function waitLine({ status }: RunState): string {
  const text = capitalized(status.waiting);
  return status.problem === '' ? text : `${text}; ${status.problem}`;
}
