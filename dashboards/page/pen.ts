/** The pen's events. Coordinates are fractions of the square's side, measured from the top left. */
export interface PenEvents {
  line(x1: number, y1: number, x2: number, y2: number): void;
  lifted(): void;
  cleared(): void;
}

/** An arrow key moves the pen by this fraction of the square's side. */
const KEY_STEP = 1 / 28;

/** A pen moved with a mouse, a stylus, a finger or the keyboard. */
export class Pen {
  readonly #square: HTMLElement;
  readonly #events: PenEvents;
  #x = 0.5;
  #y = 0.25;
  #pointer: number | undefined;
  #isDown = false;

  constructor(square: HTMLElement, events: PenEvents) {
    this.#square = square;
    this.#events = events;
    square.addEventListener('pointerdown', (event) => this.#press(event));
    square.addEventListener('pointermove', (event) => this.#move(event));
    for (const end of ['pointerup', 'pointercancel'] as const)
      square.addEventListener(end, (event) => {
        if (event.pointerId !== this.#pointer) return;
        this.#pointer = undefined;
        events.lifted();
      });
    square.addEventListener('keydown', (event) => this.#key(event));
    square.addEventListener('blur', () => this.lift());
  }

  lift(): void {
    this.#isDown = false;
    this.#mark();
  }

  #press(event: PointerEvent): void {
    // A second finger is ignored.
    if (this.#pointer !== undefined || event.button !== 0) return;
    this.#square.setPointerCapture(event.pointerId);
    this.#pointer = event.pointerId;
    [this.#x, this.#y] = this.#place(event);
    this.#to(this.#x, this.#y);
  }

  #move(event: PointerEvent): void {
    if (event.pointerId !== this.#pointer) return;
    // Uses all points since the last frame, so that a fast stroke is smooth.
    const all = event.getCoalescedEvents();
    for (const place of all.length === 0 ? [event] : all) this.#to(...this.#place(place));
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const moves: Readonly<Record<string, readonly [number, number]>> = {
      ArrowLeft: [-KEY_STEP, 0],
      ArrowRight: [KEY_STEP, 0],
      ArrowUp: [0, -KEY_STEP],
      ArrowDown: [0, KEY_STEP],
    };
    const move = moves[event.key];
    if (move !== undefined) {
      const [x, y] = [inside(this.#x + move[0]), inside(this.#y + move[1])];
      if (this.#isDown) this.#to(x, y);
      [this.#x, this.#y] = [x, y];
    } else if (event.key === ' ') {
      this.#isDown = !this.#isDown;
      if (this.#isDown) this.#to(this.#x, this.#y);
      else this.#events.lifted();
    } else if (event.key === 'Delete' || event.key === 'Backspace') {
      this.#isDown = false;
      this.#events.cleared();
    } else return;
    event.preventDefault();
    this.#mark();
  }

  #to(x: number, y: number): void {
    this.#events.line(this.#x, this.#y, x, y);
    [this.#x, this.#y] = [x, y];
  }

  /** Marks the position of the pen, for keyboard users. */
  #mark(): void {
    const frame = this.#square.parentElement;
    frame?.style.setProperty('--pen-x', `${this.#x * 100}%`);
    frame?.style.setProperty('--pen-y', `${this.#y * 100}%`);
    frame?.classList.toggle('pen-down', this.#isDown);
  }

  #place({ clientX, clientY }: PointerEvent): [number, number] {
    const { left, top, width, height } = this.#square.getBoundingClientRect();
    return [(clientX - left) / width, (clientY - top) / height];
  }
}

function inside(part: number): number {
  return Math.min(0.95, Math.max(0.05, part));
}
