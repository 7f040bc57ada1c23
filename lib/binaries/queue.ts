/** Runs work when its turn has come, in the order in which it was given. */
export type Queue = <T>(work: () => Promise<T>) => Promise<T>;

/** Makes a queue that runs at most `atOnce` at the same time. */
export const createQueue = (atOnce: number): Queue => {
  let free = atOnce;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
  };
};
