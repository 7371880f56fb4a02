import { dark, declarations, light } from './colours.ts';

/** The style sheet for the report. Printed reports always use the light colours. */
export const reportStyle = `
:root { color-scheme: light; ${declarations(light)} }
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; ${declarations(dark)} }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1240px; padding: 28px 32px 48px; overflow-wrap: anywhere;
  background: var(--paper); color: var(--ink); font-variant-numeric: tabular-nums;
  font: 14px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans',
    'DejaVu Sans', sans-serif;
}
h1, h2, p, dl, dd, ol, ul, figure { margin: 0; padding: 0; }
h1 { font-size: 20px; font-weight: 600; }
h2 { font-size: 15px; font-weight: 600; margin: 0 0 4px; }
.note { color: var(--muted); font-size: 0.93em; }
section { margin-top: 36px; }
.numbers { display: flex; flex-wrap: wrap; gap: 20px 56px; margin-top: 20px; }
.numbers div { display: flex; flex-direction: column-reverse; }
.numbers dt { color: var(--muted); font-size: 0.93em; }
.numbers dd { font-size: 30px; line-height: 1.2; }
.pair {
  display: grid; gap: 28px 40px; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr));
}
.pair > section { margin-top: 0; min-width: 0; }
.wide { overflow-x: auto; }
svg { display: block; max-width: 100%; height: auto; }
.wide svg { min-width: 420px; }
svg text { font-family: inherit; }
table { border-collapse: collapse; width: 100%; max-width: 560px; }
th, td {
  padding: 4px 0 4px 16px; text-align: right; font-weight: 400;
  border-bottom: 1px solid var(--line);
}
th:first-child { padding-left: 0; text-align: left; }
table + .note { margin-top: 8px; max-width: 560px; }
td { white-space: nowrap; }
thead th { color: var(--muted); font-size: 0.93em; white-space: nowrap; }
.confused { margin-top: 20px; list-style: none; columns: 2; max-width: 560px; }
.mistakes {
  display: grid; gap: 18px 14px; margin-top: 14px; list-style: none;
  grid-template-columns: repeat(auto-fill, minmax(104px, 1fr));
}
.mistakes li { break-inside: avoid; font-size: 0.93em; line-height: 1.35; min-width: 0; }
.mistakes .note { font-size: 1em; }
.mistakes img {
  display: block; width: 84px; height: 84px; object-fit: contain; margin-bottom: 5px;
  image-rendering: pixelated; outline: 1px solid var(--line);
}
.mistakes b { color: var(--hit); font-weight: 600; }
.facts {
  display: grid; gap: 2px 20px; margin-top: 8px;
  grid-template-columns: max-content minmax(0, 1fr);
}
.facts dt { color: var(--muted); }
@media screen and (prefers-color-scheme: dark) {
  .mistakes img { filter: invert(1); outline-color: #d5d2cb; }
}
@media (max-width: 600px) { body { padding: 18px 16px 32px; } .confused { columns: 1; } }
@media print {
  @page { margin: 14mm; }
  body {
    max-width: none; padding: 0; font-size: 11px;
    print-color-adjust: exact; -webkit-print-color-adjust: exact;
  }
  section { margin-top: 20px; }
  h1 { font-size: 16px; }
  h2 { font-size: 12px; }
  .numbers { margin-top: 12px; }
  .numbers dd { font-size: 20px; }
  figure, table, .facts { break-inside: avoid; }
  h2 { break-after: avoid; }
  .mistakes { grid-template-columns: repeat(8, 1fr); gap: 10px; }
  .mistakes img { width: 60px; height: 60px; }
  .wide { overflow: visible; } .wide svg { min-width: 0; }
  .pair { grid-template-columns: 1fr 1fr; gap: 16px 24px; }
}
`;
