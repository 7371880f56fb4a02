import { sharpContext, colour } from './dom.ts';
import type { Segment, WorkerStateName } from './timeline.ts';

const HEIGHT_PIXELS = 18;

/** Draws a worker's states over time. States differ in height and pattern as well as in colour. */
export function drawTimeline(
  canvas: HTMLCanvasElement,
  segments: readonly Segment[],
  from: number,
  to: number,
): void {
  const width = canvas.clientWidth;
  if (width === 0) return;
  const context = sharpContext(canvas, width, HEIGHT_PIXELS);
  for (const segment of segments) {
    const left = ((segment.from - from) / (to - from)) * width;
    const right = ((segment.to - from) / (to - from)) * width;
    // Short segments have a minimum width.
    drawSegment(context, segment.state, left, Math.max(2, right - left));
  }
}

function drawSegment(
  context: CanvasRenderingContext2D,
  state: WorkerStateName,
  left: number,
  width: number,
): void {
  const middle = HEIGHT_PIXELS / 2;
  const block = (height: number) => context.fillRect(left, middle - height / 2, width, height);
  switch (state) {
    case 'connected':
      context.fillStyle = colour('muted');
      return block(2);
    case 'preparing':
      context.fillStyle = colour('muted');
      for (let x = left; x < left + width; x += 4)
        context.fillRect(x, middle - 3, Math.min(2, left + width - x), 6);
      return;
    case 'idle':
      context.fillStyle = colour('training');
      return block(2);
    case 'training':
      context.fillStyle = colour('training');
      return block(12);
    case 'late':
      context.fillStyle = colour('late');
      block(12);
      return hatch(context, left, width, colour('paper'));
    case 'set_aside':
      context.fillStyle = colour('aside');
      return block(6);
    case 'lost':
      return drawLost(context, left, width);
  }
}

/** A hollow box with crosses. */
function drawLost(context: CanvasRenderingContext2D, left: number, width: number): void {
  context.save();
  context.beginPath();
  context.rect(left, 2, width, HEIGHT_PIXELS - 4);
  context.clip();
  context.strokeStyle = colour('lost');
  context.fillStyle = colour('lost');
  context.lineWidth = 1.5;
  context.fillRect(left, 2, width, 2);
  context.fillRect(left, HEIGHT_PIXELS - 4, width, 2);
  context.fillRect(left, 2, 2, HEIGHT_PIXELS);
  context.fillRect(left + width - 2, 2, 2, HEIGHT_PIXELS);
  context.beginPath();
  for (let x = left; x < left + width; x += 10) {
    context.moveTo(x, 4);
    context.lineTo(x + 10, HEIGHT_PIXELS - 4);
    context.moveTo(x, HEIGHT_PIXELS - 4);
    context.lineTo(x + 10, 4);
  }
  context.stroke();
  context.restore();
}

function hatch(
  context: CanvasRenderingContext2D,
  left: number,
  width: number,
  stroke: string,
): void {
  context.save();
  context.beginPath();
  context.rect(left, 0, width, HEIGHT_PIXELS);
  context.clip();
  context.strokeStyle = stroke;
  context.beginPath();
  for (let x = left - HEIGHT_PIXELS; x < left + width; x += 5) {
    context.moveTo(x, HEIGHT_PIXELS);
    context.lineTo(x + HEIGHT_PIXELS, 0);
  }
  context.stroke();
  context.restore();
}
