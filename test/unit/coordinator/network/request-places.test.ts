import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { RequestPlaces } from '../../../../coordinator/network/request-places.ts';
import { MAX_REQUESTS, MAX_REQUESTS_PER_ADDRESS } from '../../../../shared/limits.ts';

class FakeSocket extends EventEmitter {
  isDestroyed = false;

  destroy(): this {
    this.isDestroyed = true;
    this.emit('close');
    return this;
  }
}

function startPlaces() {
  const displaced: string[] = [];
  const places = new RequestPlaces((address) => displaced.push(address));
  /** The sockets that got a place, out of `count`. */
  const take = (address: string, count: number): FakeSocket[] =>
    Array.from({ length: count }, () => new FakeSocket()).filter((socket) =>
      places.take(address, socket),
    );
  return { places, take, displaced };
}

const HEAVY = MAX_REQUESTS / MAX_REQUESTS_PER_ADDRESS;

describe('the places for requests', () => {
  it('are limited for each address, and free again when a connection closes', () => {
    const { take } = startPlaces();
    const [first] = take('a', 1000);
    expect(take('a', 1)).toHaveLength(0);
    first?.emit('close');
    expect(take('a', 5)).toHaveLength(1);
    expect(take('b', 5)).toHaveLength(5);
  });

  it('count a connection once, however many requests it sends', () => {
    const { places, take } = startPlaces();
    const socket = new FakeSocket();
    for (let i = 0; i < 100; i++) expect(places.take('a', socket)).toBe(true);
    expect(take('a', 1000)).toHaveLength(MAX_REQUESTS_PER_ADDRESS - 1);
  });

  it('are shared when all are taken: the busiest address loses its oldest connection', () => {
    const { take, displaced } = startPlaces();
    const held = Array.from({ length: HEAVY }, (_, i) => take(`attacker ${i}`, 1000)).flat();
    expect(held).toHaveLength(MAX_REQUESTS);
    expect(take('worker', 1)).toHaveLength(1);
    expect(displaced).toEqual(['attacker 0']);
    expect(held.filter(({ isDestroyed }) => isDestroyed)).toEqual([held[0]]);
    // In the end, all addresses have equally many.
    expect(take('worker', 1000).length).toBeLessThan(MAX_REQUESTS / HEAVY);
    expect(held.filter(({ isDestroyed }) => !isDestroyed).length).toBeGreaterThan(
      MAX_REQUESTS / (HEAVY + 1),
    );
  });
});
