// A queue that bounds how many jobs run at the same time.

/** A function that runs an asynchronous job as soon as fewer than `most` others run. */
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
