import type { Page } from 'playwright-core';

/**
 * Runs in the page. Returns every element that has its own text, with the contrast between its
 * colour and its background.
 */
const script = `(() => {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const bytes = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const linear = (byte) =>
    byte / 255 <= 0.03928 ? byte / 255 / 12.92 : ((byte / 255 + 0.055) / 1.055) ** 2.4;
  const luminance = ([red, green, blue]) =>
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const ground = (element) => {
    const own = bytes(getComputedStyle(element).backgroundColor);
    return own[3] === 255 || element.parentElement === null ? own : ground(element.parentElement);
  };
  const hasText = (element) =>
    [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '');
  return [...document.querySelectorAll('body *')]
    .filter((element) => hasText(element) && element.checkVisibility())
    .map((element) => {
      const pair = [bytes(getComputedStyle(element).color), ground(element)]
        .map(luminance)
        .sort((a, b) => b - a);
      return {
        text: element.textContent.trim().slice(0, 40),
        contrast: (pair[0] + 0.05) / (pair[1] + 0.05),
      };
    });
})()`;

/** The contrast of each visible text according to WCAG 2, from 1 to 21. */
export function contrasts(page: Page): Promise<{ text: string; contrast: number }[]> {
  return page.evaluate(script);
}
