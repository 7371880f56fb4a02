// The kinds of optimizers and schedules, for code that must not load their schemas.
export const optimizerKinds = ['adam', 'adamw', 'sgd'] as const;
export const scheduleKinds = ['constant', 'step', 'exponential', 'cosine', 'piecewise'] as const;
