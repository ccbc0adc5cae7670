// A queue for work of which only some may be under way at a time.

/** A function that runs an asynchronous job as soon as fewer than `most` are under way. */
export function lanes(most) {
  const waiting = [];
  let busy = 0;

  const next = () => {
    busy -= 1;
    waiting.shift()?.();
  };

  return async function inLane(job) {
    while (busy >= most) await new Promise((resolve) => waiting.push(resolve));
    busy += 1;
    try {
      return await job();
    } finally {
      next();
    }
  };
}
