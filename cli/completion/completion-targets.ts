/** What `mnist-dist completion` can print: scripts for shells, and a schema for editors. */
export const completionTargets = ['bash', 'zsh', 'fish', 'config'] as const;
export type CompletionTarget = (typeof completionTargets)[number];
