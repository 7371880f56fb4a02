// Stands in for the program that a supervisor starts: `[ready] CODE` ends with that exit code.
const words = process.argv.slice(2);
const end = () => process.exit(Number(words.at(-1)));
if (words[0] === 'ready') process.send?.({ kind: 'ready' }, end);
else end();
